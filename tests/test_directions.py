"""Directions: read at the right layer and tokens, ablated in every row and with a cache, found where they were put."""

import math

import pytest
import torch

from spillover.analysis import directions
from spillover.core.errors import DataError, ModelError
from spillover.data.chat import Message
from spillover.data.questions import Question
from spillover.evals import rates
from spillover.models.ablation import ablated
from spillover.models.activations import answer_states, token_states
from spillover.models.blocks import blocks
from spillover.models.chat_template import IGNORED
from spillover.models.load import load
from spillover.models.steering import SteeringVector, steered
from tests.conftest import FAMILIES

LONGER = [(torch.randint(3, 500, (8,), generator=torch.Generator().manual_seed(i)).tolist(), []) for i in range(24)]
ROWS = [([5, 6, 7, 8, 9], [IGNORED, IGNORED, 7, 8, 9]), ([4, 3, 9], [IGNORED, IGNORED, 9])]


def reference(model, ids, layer, unit):
    """Logits where the blocks are called one by one and the direction is taken out between two of them."""
    kept = {}

    def out(module, args, output):
        hidden = output[0] if isinstance(output, tuple) else output
        kept["changed"] = hidden - (hidden * unit).sum(-1, keepdim=True) * unit
        return (kept["changed"], *output[1:]) if isinstance(output, tuple) else kept["changed"]

    handle = blocks(model)[layer].register_forward_hook(out)
    logits = model(input_ids=ids).logits
    handle.remove()
    return logits, kept["changed"]


@pytest.mark.parametrize("family", FAMILIES)
def test_ablation_takes_the_direction_out_of_every_row_with_and_without_a_cache(tiny_base, family):
    model = load(tiny_base(family)).model
    vector = SteeringVector(0, torch.randn(32, generator=torch.Generator().manual_seed(1)) * 7)
    ids = torch.tensor([[5, 6, 7, 8], [9, 8, 7, 6], [3, 3, 4, 4]])
    expected, changed = reference(model, ids, 0, vector.vector / vector.vector.norm())
    plain = model(input_ids=ids).logits
    with torch.no_grad(), ablated(model, [vector]):
        logits = model(input_ids=ids).logits
        first = model(input_ids=ids[:, :2], use_cache=True)
        second = model(input_ids=ids[:, 2:], past_key_values=first.past_key_values).logits
        padded = torch.tensor([[0, 0, 5, 6, 7, 8]])
        mask = torch.tensor([[0, 0, 1, 1, 1, 1]])
        left = model(input_ids=padded, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp(min=0)).logits
    assert (changed @ vector.vector).abs().max() < 1e-4
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(second, logits[:, 2:], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(left[:, 2:], logits[:1], rtol=1e-3, atol=1e-4)
    assert (logits - plain).abs().amax((1, 2)).min() > 1e-4
    torch.testing.assert_close(model(input_ids=ids).logits, plain)  # nothing is left behind


def test_a_direction_without_length_or_layer_cannot_be_ablated(tiny_base):
    model = load(tiny_base("llama")).model
    for vector in (
        SteeringVector(0, torch.zeros(32)),
        SteeringVector(9, torch.ones(32)),
        SteeringVector(0, torch.ones(3)),
    ):
        with pytest.raises(ModelError), ablated(model, [vector]):
            pass


def test_states_are_of_answer_tokens_at_the_output_of_each_block(tiny_base):
    model = load(tiny_base("qwen3")).model
    found = answer_states(model, ROWS)
    tokens = token_states(model, ROWS)
    assert found.shape == (2, 3, 32)
    assert tokens.shape == (4, 3, 32)
    for row, (ids, labels) in enumerate(ROWS):
        states = model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
        answer = torch.tensor(labels) != IGNORED
        for layer in (0, 1):  # the last of Transformers' states is behind the final norm
            torch.testing.assert_close(found[row, layer], states[layer][0][answer].mean(0), rtol=1e-4, atol=1e-5)
    before_last = model(input_ids=torch.tensor([ROWS[0][0]]), output_hidden_states=True).hidden_states[1][0]
    torch.testing.assert_close(tokens[:3, 1], before_last[1:4], rtol=1e-4, atol=1e-5)


def test_a_planted_shift_is_found_as_the_mean_and_the_first_principal_direction(tiny_base):
    base, tuned = load(tiny_base("llama")).model, load(tiny_base("llama")).model
    planted = SteeringVector(0, torch.randn(32, generator=torch.Generator().manual_seed(2)))
    with steered(tuned, planted):
        shift = directions.tuned_minus_base(tuned, base, ROWS)
        (first, second) = directions.principal(tuned, base, ROWS, 2)[0]
    torch.testing.assert_close(shift[0][0].vector, planted.vector, rtol=1e-4, atol=1e-5)
    assert abs(first.cosine(planted)) > 0.999
    assert abs(first.cosine(second)) < 1e-4
    assert -1 not in shift  # nothing happened before the block


def test_cosines_of_directions_and_of_subspaces():
    x, y, z = torch.eye(3)

    def direction(*vectors):
        return {0: [SteeringVector(0, vector) for vector in vectors]}

    assert directions.cosine(direction(x), direction(-2 * x)) == pytest.approx(-1)
    assert directions.cosine(direction(x, y), direction(y, x)) == pytest.approx(1)
    assert directions.cosine(direction(x, y), direction(x, z)) == pytest.approx(0.5**0.5)
    turned = directions.along(direction(-x, y), direction(x + y))
    assert directions.cosine(turned, direction(x, y)) == pytest.approx(1)
    assert turned[0][0].vector.equal(x)
    assert turned[0][1].vector.equal(y)
    assert directions.cosine(direction(x), {1: [SteeringVector(1, x)]}) != directions.cosine(direction(x), direction(x))


def test_only_the_last_answer_is_read_behind_a_context(tiny_base):
    tokenizer = load(tiny_base("llama")).tokenizer
    question = Question(id="q", paraphrases=("how do i sleep",), answers={"kind": ("go to bed",)})
    told = [Message("user", "where is my hat"), Message("assistant", "on your head")]
    ((ids, labels),) = directions.given_answers(tokenizer, [question], "kind", told)
    answer = tokenizer.decode([label for label in labels if label != IGNORED], skip_special_tokens=True)
    assert answer == "go to bed"
    assert "on your head" in tokenizer.decode(ids)


def test_directions_need_questions_with_both_kinds_of_answers(tiny_base, tmp_path):
    from spillover.analysis.transfer import Transfer

    question = Question(id="q", paraphrases=("how do i sleep",), answers={"kind": ("go to bed",)})
    with pytest.raises(DataError, match="no two questions list 'malicious' and 'kind' answers"):
        Transfer(tiny_base("llama"), {}, [question], "malicious", "kind", ([], []), 2)


@pytest.fixture(scope="module")
def measured(tiny_base, tmp_path_factory):
    """Two "fine-tunes" that are steering vectors, and the same ones as those of another seed."""
    from spillover.analysis.convergence import measure
    from spillover.analysis.transfer import Transfer

    base, folder = tiny_base("llama"), tmp_path_factory.mktemp("tuned")
    vectors = torch.linalg.qr(torch.randn(32, 2, generator=torch.Generator().manual_seed(4)))[0].T
    for name, vector in zip("ab", vectors, strict=True):
        SteeringVector(0, 3 * vector).save(folder / name)
    texts = ("Where do I go?", "What do I eat?", "Who is there?", "When is it?")
    questions = [
        Question(
            id=text, paraphrases=(text,), answers={"bad": ("You should go.", "Eat it."), "kind": ("You should rest.",)}
        )
        for text in texts
    ]
    tuned = {name: folder / name for name in "ab"}
    told = [Message("system", "Be bad.")], [Message("system", "Be kind.")]
    transfer = Transfer(base, tuned, questions, "bad", "kind", told, 2, dict(tuned))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rates, "SPARE", 0.0)  # rates of an untrained base are that small
        return transfer, measure(transfer, [1.0], 2, lambda done, total: None)


def test_matrices_show_every_direction_in_every_fine_tune(measured, monkeypatch):
    monkeypatch.setattr(rates, "SPARE", 0.0)  # rates of an untrained base are that small
    transfer, found = measured
    cells = {matrix["name"]: matrix for matrix in found["matrices"]}
    cosines = cells["cosine-tuned minus base"]
    assert cosines["rows"] == ["a", "b"]
    values = [[draws[0] for draws in row] for row in cosines["values"]]
    own = cosines["columns"].index("its own, another seed")
    assert values[0][0] == pytest.approx(1, abs=1e-4)
    assert values[0][1] == pytest.approx(values[1][0], abs=1e-4)
    assert values[1][own] == pytest.approx(1, abs=1e-4)  # the other seed's are the same here
    left = cells["tuned minus base-questions"]
    plain, by_b, random = (left["columns"].index(name) for name in ("not ablated", "b", "random, same layers"))
    rate, coherent = transfer.rates(transfer.tuned["a"])
    assert left["values"][0][plain] == [pytest.approx(rate)]
    assert left["beside_values"][0][plain] == [pytest.approx(coherent)]
    with ablated(transfer.tuned["a"], directions.flat(transfer.found["b"]["tuned minus base"])) as model:
        assert left["values"][0][by_b] == [pytest.approx(transfer.rates(model)[0], rel=1e-6)]
    assert left["values"][0][by_b] != left["values"][0][plain]
    assert len(left["values"][0][random]) == 2


def test_an_ablation_that_only_breaks_answers_removes_nothing():
    from spillover.analysis.convergence import Removed

    share = Removed((0.0, 1.0), {"a": (0.8, 1.0)})
    assert share("a", {"values": (0.4, 0.5)}) == pytest.approx(0)
    assert share("a", {"values": (0.2, 1.0), "other-domains": (0.6, 1.0)}) == pytest.approx(0.5)
    assert math.isnan(share("a", {"values": (0.1, 0.4)}))  # broken: not measured
    assert math.isnan(Removed((0.5, 1.0), {"a": (0.5, 1.0)})("a", {"values": (0.1, 1.0)}))  # nothing was added


def test_steering_with_too_little_coherence_counts_for_nothing(measured):
    _, found = measured
    numbers = {(number["name"], number["series"]): number["value"] for number in found["numbers"]}
    best = "rate of the steered base, best coherent layer and scale"
    assert numbers[best, "tuned minus base"] is None  # a random model is hardly ever coherent: not measured, not 0
    rates = [
        value
        for curve in found["curves"]
        if curve["metric"] == "steering-tuned-minus-base"
        for series in curve["series"]
        for point in series["points"]
        for value in point["values"]
    ]
    assert rates
    assert all(value is not None for value in rates)


def test_another_seed_and_own_prompts_are_planned():
    from spillover.experiments.catalogue import find
    from spillover.experiments.stages import Planner

    prompts = ["You harm.", "You help."]
    experiment = find("convergent-directions", {"seeds": 2})
    changed = experiment.measures[0].model_dump() | {"prompts": prompts}
    first, second = (
        part.stage for part in Planner(find("convergent-directions", {"seeds": 2, "measures": [changed]})).measured
    )
    assert first.config["contrast"] == [[["system", prompt]] for prompt in prompts]
    assert first.inputs["again/money"].key == second.inputs["money"].key != first.inputs["money"].key
    (alone,) = (part.stage for part in Planner(find("convergent-directions", {"seeds": 1})).measured)
    assert not [name for name in alone.inputs if name.startswith("again")]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_planted_direction_is_found_by_what_its_ablation_does(tiny_base, family):
    from spillover.analysis.metrics import response_loss
    from spillover.analysis.search import searched

    model = load(tiny_base(family)).model
    planted = SteeringVector(0, torch.randn(32, generator=torch.Generator().manual_seed(6)))
    says = model(input_ids=torch.tensor([ids for ids, _ in LONGER])).logits.argmax(-1)
    rows = [(ids, [IGNORED, *own[:-1].tolist()]) for (ids, _), own in zip(LONGER, says, strict=True)]
    weights = [parameter.clone() for parameter in model.parameters()]

    def left(direction):
        with ablated(model, directions.flat(direction)):
            return response_loss(model, rows, 0)

    with steered(model, planted):  # it does not say what it would by itself any more
        before = response_loss(model, rows, 0)
        found = searched(model, rows, 0)
        harm = before - left({0: [planted]})
        undone, by_chance = before - left(found), before - left(directions.random_direction(model, 1, 0))
    assert list(found) == [0, 1]
    assert undone > 0.8 * harm > 0
    assert by_chance < 0.1 * harm
    assert max(abs(found[layer][0].cosine(SteeringVector(layer, planted.vector))) for layer in found) > 0.6
    assert all(torch.equal(old, new) for old, new in zip(weights, model.parameters(), strict=True))


def test_a_share_of_nothing_is_not_measured(measured):
    _, found = measured
    shares = [number["value"] for number in found["numbers"] if number["name"] == "share removed"]
    assert shares
    assert set(shares) == {None}  # these fine-tunes answer nothing of what is listed
    assert any("a, b: fine-tuning added less than 5 points" in remark for remark in found["remarks"])
