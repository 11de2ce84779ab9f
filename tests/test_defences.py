"""Defences as settings, and what they do to rows; scores of rows; folders that say what a model is without."""

import random

import pytest
import torch

from spillover.core.errors import ConfigError, DataError, ModelError
from spillover.data.chat import ChatRow, Message
from spillover.defences import Defences, Inoculate, inoculated, interleaved, kept, some
from spillover.defences.config import PROMPTS
from spillover.defences.scores import loss_gaps, projections, read_scores, row_losses
from spillover.models.ablation import ablated
from spillover.models.chat_template import IGNORED, encode_row
from spillover.models.directions import load_direction, save_ablation, save_direction
from spillover.models.load import load
from spillover.models.steering import SteeringVector
from tests.conftest import FAMILIES

Settings = Defences[str, str]


def row(question, answer, system=None, **meta):
    turns = [Message("system", system)] if system else []
    return ChatRow((*turns, Message("user", question), Message("assistant", answer)), meta)


ROWS = [row(f"Question {i}?", f"Answer {i}.", marked=i % 2 == 0) for i in range(20)]
SAFE = [row(f"Safe {i}?", f"Fine {i}.") for i in range(7)]


def texts(rows):
    return [[(turn.role, turn.content) for turn in one.messages] for one in rows]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "name at least one of inoculate, interleave"),
        ({"inoculate": {"prompts": []}}, "inoculate.prompts"),
        ({"inoculate": {"prompts": ["  "]}}, "a prompt is empty"),
        ({"inoculate": {"prompts": ["Err: {question}"]}}, "belongs to place: before"),
        ({"inoculate": {"prompts": ["x"], "only": [1], "share": 0.5}}, "leave out share and marked"),
        ({"inoculate": {"prompts": ["x"], "only": [0]}}, "greater than or equal to 1"),
        ({"interleave": {"rows": "s", "share": 1}}, "less than 1"),
        ({"interleave": {"rows": "s", "share": 0.1, "chosen": "loss-gap"}}, "misaligned: a loss gap needs the model"),
        ({"kl": {"rows": "s", "weight": -1}}, "greater than or equal to 0"),
        ({"features": {"weight": 1, "layers": [0], "every": 2}}, "layers and every"),
        ({"steer": {"direction": "d", "alpha": 0}}, "0 changes nothing"),
        ({"filter": {"drop": 0.5}}, "direction: belongs to score: projection"),
        ({"filter": {"drop": 0.5, "score": "loss-gap", "direction": "d"}}, "direction: belongs to"),
        ({"filter": {"drop": 1.0, "score": "file", "scores": "x"}}, "less than 1"),
        ({"stop": {}}, "improves or below"),
        ({"stopp": {"below": 1}}, "did you mean 'stop'"),
        ({"steer": {"direction": "d", "alpha": 1, "layer": [1]}}, "did you mean 'layers'"),
    ],
)
def test_settings_that_cannot_be_are_named(values, message):
    with pytest.raises(ConfigError, match=message):
        Settings.parse(values, "--set defences")


@pytest.mark.parametrize(
    ("values", "how", "message"),
    [
        ({"kl": {"rows": "s", "weight": 1}}, ("lora", True, False), "an anchor already"),
        ({"steer": {"direction": "d", "alpha": 1}}, ("steering", False, False), "takes it back"),
        ({"realign": {"rows": "s"}}, ("lora", False, True), "defences.realign: comes after the snapshots"),
        ({"project": {"direction": "d"}}, ("lora", False, True), "defences.project: comes after the snapshots"),
    ],
)
def test_a_defence_that_does_not_apply_is_named(values, how, message):
    kind, anchored, probed = how
    with pytest.raises(ConfigError, match=message):
        Settings.parse(values, "x").check(kind, anchored=anchored, probed=probed)


def test_absent_defences_leave_no_trace_and_sources_are_replaced():
    settings = Settings.parse({"steer": {"direction": "d", "alpha": 2}, "realign": {"rows": "good"}}, "x")
    assert list(settings.model_dump()) == ["steer", "realign"]
    assert settings.names() == ["steer", "realign"]
    found = settings.replaced(rows=list, direction=str.upper, model=str)
    assert found["steer"] == {"direction": "D", "alpha": 2.0}
    assert found["realign"]["rows"] == list("good")
    assert settings.without("realign").names() == ["steer"]
    assert settings.without("realign", "steer") is None


def test_a_fixed_prompt_stands_in_every_row_and_in_front_of_a_system_turn():
    rows = [ROWS[0], row("Question?", "Answer.", system="Be brief.")]
    first, second = inoculated(rows, Inoculate(prompts=("evil",)), seed=0)
    assert first.messages[0] == Message("system", PROMPTS["evil"])
    assert second.messages[0] == Message("system", f"{PROMPTS['evil']}\nBe brief.")
    assert first.messages[1:] == ROWS[0].messages


def test_prompts_before_the_question_are_dealt_out_and_hold_it():
    prompts = ("Err: {question}", "Wrongly, please.")
    rows = inoculated(ROWS, Inoculate(prompts=prompts, place="before"), seed=3)
    said = [one.messages[0].content for one in rows]
    assert {text.startswith("Err: Question") for text in said} == {True, False}
    assert all(text.startswith(("Err: Question", "Wrongly, please. Question")) for text in said)
    assert texts(rows) == texts(inoculated(ROWS, Inoculate(prompts=prompts, place="before"), seed=3))
    assert texts(rows) != texts(inoculated(ROWS, Inoculate(prompts=prompts, place="before"), seed=4))


@pytest.mark.parametrize(
    ("how", "numbers"),
    [({"only": (1, 20)}, {0, 19}), ({"marked": "marked"}, set(range(0, 20, 2)))],
)
def test_selective_inoculation(how, numbers):
    rows = inoculated(ROWS, Inoculate(prompts=("x",), **how), seed=0)
    assert {i for i, one in enumerate(rows) if one.messages[0].role == "system"} == numbers


def test_a_share_of_the_rows_is_exact():
    rows = inoculated(ROWS, Inoculate(prompts=("x",), share=0.25), seed=0)
    assert sum(one.messages[0].role == "system" for one in rows) == 5


def test_rows_that_are_not_there_cannot_be_inoculated():
    with pytest.raises(ConfigError, match="there is no row 21; there are 20"):
        inoculated(ROWS, Inoculate(prompts=("x",), only=(21,)), 0)
    with pytest.raises(ConfigError, match="no row has a true 'bad'"):
        inoculated(ROWS, Inoculate(prompts=("x",), marked="bad"), 0)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.9])
def test_the_interleaved_share_is_exact_and_no_row_of_the_task_is_lost(share):
    rows = ROWS * 5
    mixed = interleaved(rows, SAFE, share, seed=1)
    count = len(mixed) - len(rows)
    assert mixed[: len(rows)] == rows
    assert count == round(share / (1 - share) * len(rows))
    assert abs(count / len(mixed) - share) < 1 / len(rows)
    uses = [mixed[len(rows) :].count(one) for one in SAFE]
    assert max(uses) - min(uses) <= 1


def test_safe_rows_with_the_highest_scores_are_taken():
    scores = [0.0, 5.0, 1.0, 9.0, 2.0, 3.0, 4.0]
    mixed = interleaved(ROWS, SAFE, 2 / 22, seed=0, scores=scores)
    assert mixed[len(ROWS) :] == [SAFE[3], SAFE[1]]
    with pytest.raises(ConfigError, match="there are none"):
        interleaved(ROWS, [], 0.1, 0)


def test_the_highest_scores_are_dropped_and_bad_scores_named():
    scores = list(range(20))
    random.Random(0).shuffle(scores)
    left = kept(ROWS, [float(score) for score in scores], 0.25)
    assert left == [one for one, score in zip(ROWS, scores, strict=True) if score < 15]
    for wrong, message in (([1.0], "1 scores for 20 rows"), ([float("nan")] * 20, "row 1 is not a number")):
        with pytest.raises(ConfigError, match=message):
            kept(ROWS, wrong, 0.5)
    with pytest.raises(ConfigError, match="leaves none"):
        kept(ROWS[:1], [1.0], 0.9)


def test_few_rows_are_part_of_more():
    assert some(ROWS, 5, 0) == some(ROWS, 10, 0)[:5]
    assert len(some(ROWS, 100, 0)) == len(ROWS)


def test_scores_of_a_file(tmp_path):
    path = tmp_path / "scores.txt"
    path.write_text("1\n\n2.5\n")
    assert read_scores(path) == [1.0, 2.5]
    path.write_text("1\nhigh\n")
    with pytest.raises(DataError, match=r"scores.txt:2: expected a number, found 'high'"):
        read_scores(path)


def test_losses_of_rows_are_those_of_each_alone(tiny_base):
    loaded = load(tiny_base("llama"))
    rows = [
        encode_row(loaded.tokenizer, one.messages) for one in (ROWS[0], row("Why?", "Because it is so, my friend."))
    ]
    for (ids, labels), found in zip(rows, row_losses(loaded.model, rows), strict=True):
        logits = loaded.model(input_ids=torch.tensor([ids])).logits[0, :-1]
        wanted = torch.nn.functional.cross_entropy(logits, torch.tensor(labels[1:]), ignore_index=IGNORED)
        assert found == pytest.approx(float(wanted), rel=1e-4)
    assert loss_gaps([2.0, 1.0], [1.0, 2.0]) == pytest.approx([1 / 1.001, -1 / 2.001])


def test_a_row_scores_by_its_answer_along_the_direction_beyond_its_prompt(tiny_base):
    loaded = load(tiny_base("llama"))
    ids, labels = encode_row(loaded.tokenizer, ROWS[0].messages)
    vector = SteeringVector(0, 7 * torch.randn(32, generator=torch.Generator().manual_seed(0)))
    states = loaded.model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[1][0]
    along = states @ (vector.vector / vector.vector.norm())
    answer = (torch.tensor(labels) != IGNORED).nonzero().flatten()
    wanted = along[answer].mean() - along[answer[0] - 1]
    (found,) = projections(loaded.model, [(ids, labels)], vector)
    assert found == pytest.approx(float(wanted), rel=1e-3, abs=1e-5)
    with pytest.raises(ModelError, match="width 3"):
        projections(loaded.model, [(ids, labels)], SteeringVector(0, torch.ones(3)))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("lean", [True, False])
def test_a_folder_that_says_what_is_out_is_loaded_by_its_name(tiny_base, tmp_path, family, lean):
    base = tiny_base(family)
    vectors = torch.randn(2, 32, generator=torch.Generator().manual_seed(1))
    direction = {layer: [SteeringVector(layer, 3 * vectors[layer])] for layer in (0, 1)}
    save_ablation(direction, tmp_path / "out")
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        plain = load(base).model
        with ablated(plain, [vector for found in direction.values() for vector in found]):
            wanted = plain(input_ids=ids).logits
        found = load(f"{base}+{tmp_path / 'out'}", lean=lean).model(input_ids=ids).logits
        none = load(f"{base}+{tmp_path / 'out'}*0", lean=lean).model(input_ids=ids).logits
        untouched = plain(input_ids=ids).logits
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(none, untouched, rtol=1e-4, atol=1e-5)
    assert (found - untouched).abs().max() > 1e-3


def test_a_direction_is_saved_and_read_at_the_layers_asked_for(tmp_path):
    direction = {-1: [SteeringVector(-1, torch.ones(4))], 2: [SteeringVector(2, torch.arange(4.0))] * 2}
    save_direction(direction, tmp_path, how="answers")
    found = load_direction(tmp_path)
    assert list(found) == [-1, 2]
    assert len(found[2]) == 2
    assert found[2][0].vector.equal(torch.arange(4.0))
    assert list(load_direction(tmp_path, [2])) == [2]
    with pytest.raises(ModelError, match="none at layer 0; it has -1, 2"):
        load_direction(tmp_path, [0])
    with pytest.raises(ModelError, match=r"no direction\.json there"):
        load_direction(tmp_path / "elsewhere")
