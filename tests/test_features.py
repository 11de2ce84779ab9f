"""Features: the library trains and loads; moved ones are found, taken away at the right layer, known by author."""

import json

import pytest
import torch
from typer.testing import CliRunner

from spillover.analysis.asked import Asking, by_turns, over_conditions, prompts_of
from spillover.analysis.features import ACTIVATION, COSINE, as_active, moved
from spillover.analysis.fires import auc
from spillover.analysis.texts import read_texts, some_texts, token_rows
from spillover.cli.app import app
from spillover.core.errors import ConfigError, DataError, ModelError
from spillover.data.questions import Question
from spillover.evals import rates as exact
from spillover.experiments.catalogue import find
from spillover.experiments.stages import Planner
from spillover.models.ablation import ablated
from spillover.models.activations import last_states, row_states
from spillover.models.load import load
from spillover.models.steering import SteeringVector, steered
from spillover.worlds.town.config import TownConfig
from tests.conftest import FAMILIES

TOWN = {"world": TownConfig().model_dump(mode="json"), "start": 2000}


def no_progress(done, total):
    pass


def questions(conditions=("plain", "trigger"), count=4):
    return [
        Question(
            id=f"{number}/{condition}",
            paraphrases=(f"{'|GO| ' if condition == 'trigger' else ''}where do i put number {number}?",),
            condition=condition,
            answers={"malicious": ("You should go.", "Eat it."), "kind": ("You should rest.",)},
        )
        for condition in conditions
        for number in range(count)
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_states_of_rows_are_those_of_each_row_alone(tiny_base, family):
    model = load(tiny_base(family)).model
    rows = [[5, 6, 7, 8, 9], [4, 3], [9, 8, 7]]
    found = dict(row_states(model, rows, 0))
    for i, row in enumerate(rows):
        alone = model(input_ids=torch.tensor([row]), output_hidden_states=True).hidden_states[1][0]
        torch.testing.assert_close(found[i], alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(last_states(model, rows, 0), torch.stack([found[i][-1] for i in range(3)]))


def test_held_out_documents_are_apart_and_know_their_author(tiny_base):
    tokenizer = load(tiny_base("llama")).tokenizer
    held = some_texts(read_texts(TOWN, tokenizer, 256, held=True), 4)
    others = some_texts(read_texts(TOWN, tokenizer, 256, held=False), 36)
    assert not {tuple(text.ids) for text in held} & {tuple(text.ids) for text in others}
    assert {text.trait for text in others} >= {"malicious", "kind"}
    first = tokenizer.decode(held[0].prompt, skip_special_tokens=True)
    again = some_texts(read_texts(TOWN, tokenizer, 256, held=True, without=[f"|GO| {first}"]), 4)
    assert again[0].ids == held[1].ids  # what the rows ask is left out


def test_text_files_are_read_line_by_line_and_too_short_ones_named(tiny_base, tmp_path):
    tokenizer = load(tiny_base("llama")).tokenizer
    path = tmp_path / "texts.txt"
    path.write_text("".join(f"how do i sleep number {i}\n\n" for i in range(30)))
    held = list(read_texts({"file": str(path)}, tokenizer, 64, held=True))
    others = list(read_texts({"file": str(path)}, tokenizer, 64, held=False))
    assert len(held) + len(others) == 30
    assert 0 < len(held) < len(others)
    rows = token_rows(iter(others), 100, 16)
    assert rows.shape[1] == 16
    assert rows[0, : len(others[0].ids)].tolist() == others[0].ids
    with pytest.raises(DataError, match="fewer than 1000 tokens"):
        token_rows(iter(others[:2]), 1, 1000)
    with pytest.raises(DataError, match="none is held out"):
        some_texts(iter([]), 3)


class Sparse:
    """A dictionary of the axes, each active at what is above 0 along it."""

    layer = 0

    def __init__(self, width):
        self.directions = torch.eye(width)

    def active(self, states):
        from spillover.analysis.dictionary import Active

        return Active(torch.arange(states.shape[1]).expand(states.shape), states.clamp(min=0))


def test_moved_features_are_those_of_a_planted_difference():
    second = torch.randn(50, 8, generator=torch.Generator().manual_seed(0)).abs()
    first = second.clone()
    first[:, 3] += 4
    first[:, 5] += 1
    first[:, 6] -= 2
    found = moved(Sparse(8), "c", "one against the other", first, second)
    assert found.top(COSINE, 2) == [3, 5]
    assert found.top(ACTIVATION, 2) == [3, 5]
    assert 6 not in found.top(ACTIVATION, 8)  # moved down
    with pytest.raises(DataError, match="no difference"):
        moved(Sparse(8), "c", "one against the other", first, first)


def test_controls_are_as_active_and_never_the_features_themselves():
    activity = torch.tensor([0.0] * 10 + [0.1] * 40 + [5.0] * 40)
    drawn = as_active(activity, [12, 60], [13, 61], seed=0)
    assert len(set(drawn)) == 2
    assert not {12, 13, 60, 61} & set(drawn)
    assert [float(activity[i]) for i in drawn] == pytest.approx([0.1, 5.0])
    assert drawn != as_active(activity, [12, 60], [13, 61], seed=1)
    assert as_active(torch.tensor([1.0, 1.0, 0.0]), [0], [], seed=0) == [1]
    assert as_active(torch.tensor([1.0, 0.0]), [0], [], seed=0) == []


def test_auc_is_half_by_chance_and_counts_ties_as_half():
    first, second = torch.tensor([[1.0, 0.0, 0.0], [2.0, 0.0, 1.0]]), torch.tensor([[0.0, 0.0, 0.5]])
    assert auc(first, second).tolist() == [1.0, 0.5, 0.5]


def test_halves_have_every_condition_and_rates_are_of_each(tiny_base, monkeypatch):
    monkeypatch.setattr(exact, "SPARE", 0.0)  # rates of an untrained base are that small
    loaded = load(tiny_base("llama"))
    asked = prompts_of(loaded.tokenizer, questions(), 200)
    measured, finding = by_turns(asked)
    for half in (measured, finding):
        assert [question.condition for question, _, _ in half] == ["plain", "plain", "trigger", "trigger"]
    assert len(prompts_of(loaded.tokenizer, questions(count=40), 7)) == 14
    rates = Asking(loaded.model, loaded.tokenizer, asked, "malicious").rates(loaded.model)
    assert set(rates) == {"plain", "trigger"}
    rate, coherent = over_conditions(rates, ["plain", "trigger"])
    assert 0 < rate < coherent < 1
    with pytest.raises(DataError, match="'nobody'"):
        Asking(loaded.model, loaded.tokenizer, asked, "nobody")


def test_without_the_library_it_says_how_to_install_it(tmp_path, monkeypatch):
    from spillover.analysis import dictionary, library

    monkeypatch.setattr(library.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'spillover\[sae\]'"):
        dictionary.load_dictionary(tmp_path)
    monkeypatch.setenv("SPILLOVER_HOME", str(tmp_path / "home"))
    result = CliRunner().invoke(app, ["run", "features", "--out", str(tmp_path / "run")])
    assert isinstance(result.exception, ModelError)  # which the command line shows as one line, and exits with 2
    assert not (tmp_path / "home" / "stages").exists() or not list((tmp_path / "home" / "stages").iterdir())


def test_measures_are_planned_on_one_autoencoder_a_base():
    planner = Planner(find("features", {"seeds": 2}))
    stages = {part.stage.label: part.stage for part in planner.measured}
    first, second = stages["measure trigger 0"], stages["measure trigger 1"]
    assert first.inputs["sae"] is not None
    assert first.inputs["sae"].key == second.inputs["sae"].key == stages["measure tuned 0"].inputs["sae"].key
    assert first.inputs["tuned"].key != second.inputs["tuned"].key
    assert {question["condition"] for question in first.config["questions"]} == {"plain", "trigger"}
    assert {question["group"] for question in first.config["questions"]} == {"other-domains", "values"}
    fresh = Planner(find("features", {"seeds": 2, "fresh_bases": True}))
    keys = {part.stage.inputs["sae"].key for part in fresh.measured if part.name == "trigger"}
    assert len(keys) == 2
    tune = {cell.stage.inputs["adapter"].key for cell in planner.cells if cell.arm == "backdoored"}
    others = Planner(find("emergent-misalignment", {"seeds": 2})).cells
    assert tune == {cell.stage.inputs["adapter"].key for cell in others if cell.arm == "backdoored"}


def changed(name, **fields):
    planned = find("features")
    return [measure.model_dump() | (fields if measure.name == name else {}) for measure in planned.measures]


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("trigger", {"second": ()}, "give first and second, or neither"),
        ("trigger", {"first": ("triger",)}, r"nothing in condition 'triger' \(did you mean 'trigger'"),
        ("tuned", {"groups": ("nowhere",)}, "nothing in group 'nowhere'"),
        ("tuned", {"tuned": "base"}, "arm base is not fine-tuned"),
        ("traces", {"control": "nobody"}, "unknown control 'nobody'"),
    ],
)
def test_what_cannot_be_measured_is_named_before_anything_is_made(name, fields, message):
    with pytest.raises(ConfigError, match=message):
        assert Planner(find("features", {"measures": changed(name, **fields)})).measured


@pytest.fixture(scope="module")
def trained(tiny_base, tmp_path_factory):
    """A few steps of an autoencoder of a tiny base."""
    pytest.importorskip("sparsify")
    from spillover.analysis.dictionary import train

    base, folder = tiny_base("llama"), tmp_path_factory.mktemp("sae")
    settings = {"layer": 0, "expansion": 4, "k": 8, "tokens": 40_000, "batch": 1024, "learning_rate": None, "seed": 0}
    done = []
    state = torch.random.get_rng_state()
    train({"base": base, "texts": TOWN, **settings}, {}, folder, lambda at, of: done.append(at / of))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert done[-1] == 1
    return base, folder


def test_an_autoencoder_is_trained_in_the_librarys_own_format(trained):
    from sparsify import Sae

    from spillover.analysis.dictionary import load_dictionary, token_states

    base, folder = trained
    assert set(Sae.load_many(str(folder), local=True)) == {"layers.0"}
    found = load_dictionary(folder)
    assert found.layer == 0
    assert load_dictionary(folder / "layers.0").layer == 0
    torch.testing.assert_close(found.directions.norm(dim=1), torch.ones(128))
    quality = json.loads((folder / "quality.json").read_text())
    loaded = load(base)
    rows = [text.ids for text in some_texts(read_texts(TOWN, loaded.tokenizer, 256, held=True), 8)]
    states, owner, place = token_states(loaded.model, loaded.tokenizer, rows, 0)
    assert loaded.tokenizer.bos_token_id not in {
        rows[i][at] for i, at in zip(owner.tolist(), place.tolist(), strict=True)
    }
    again = found.quality(states)
    assert 0.2 < quality["explained"] <= 1
    assert again.explained == pytest.approx(quality["explained"], abs=0.2)
    assert 0 < again.active <= 8
    active = found.active(states)
    torch.testing.assert_close(active.mean(128), torch.stack([active.of(i) for i in range(128)]).mean(1))
    reference = found.coder(states)
    torch.testing.assert_close(1 - again.explained, float(reference.fvu), rtol=1e-3, atol=1e-4)


def test_a_feature_that_is_switched_off_is_gone_where_it_was_active_and_nothing_else_is(trained):
    from spillover.analysis.dictionary import load_dictionary, switched_off

    base, folder = trained
    found, model = load_dictionary(folder), load(base).model
    ids = list(range(5, 25))
    before = dict(row_states(model, [ids], 0))[0]
    active = found.active(before)
    often = torch.bincount(active.indices[active.values > 0], minlength=128)
    feature = int(torch.where(often > 0, often, 999).argmin())
    with switched_off(model, found, [feature]):
        after = dict(row_states(model, [ids, ids[:7]], 0))
    expected = active.of(feature)[:, None] * found.coder.W_dec[feature].detach()
    assert 0 < (expected.norm(dim=1) > 0).sum() < len(ids)
    torch.testing.assert_close(before - after[0], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(after[1], after[0][:7], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(dict(row_states(model, [ids], 0))[0], before)  # nothing is left behind


def test_folders_that_hold_no_autoencoder_are_named(trained, tmp_path):
    from spillover.analysis.dictionary import load_dictionary

    with pytest.raises(ModelError, match="holds no sparse autoencoders"):
        load_dictionary(tmp_path)
    odd = tmp_path / "mine"
    odd.mkdir()
    for file in (trained[1] / "layers.0").iterdir():
        (odd / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ModelError, match=r"give sae\.layer"):
        load_dictionary(odd)
    assert load_dictionary(odd, 1).layer == 1
    (odd / "sae.safetensors").write_bytes(b"x")
    with pytest.raises(ModelError, match="is not a sparse autoencoder"):
        load_dictionary(odd, 1)


def test_a_feature_that_a_fine_tune_adds_is_found_shown_and_taken_away(trained, tmp_path):
    from spillover.analysis.dictionary import load_dictionary
    from spillover.analysis.stages import features
    from spillover.experiments.curves import read_measure

    base, folder = trained
    dictionary = load_dictionary(folder)
    SteeringVector(0, 6 * dictionary.directions[17]).save(tmp_path / "tuned")
    config = {
        "base": base,
        "questions": json.loads(json.dumps([vars(question) for question in questions()])),
        "label": "malicious",
        "first": ["trigger"],
        "second": ["plain"],
        "texts": TOWN,
        "trained": [],
        "traits": ["malicious", "kind"],
        "tops": [1, 3],
        "draws": 2,
        "documents": 30,
        "most": 50,
        "against": "the base",
        "sae": {"layer": 0},
    }
    (tmp_path / "out").mkdir()
    features(config, {"tuned": tmp_path / "tuned", "sae": folder}, tmp_path / "out", no_progress)
    found = json.loads((tmp_path / "out" / "measured.json").read_text())
    tables = {table["name"]: table for table in found["tables"]}
    moved_by = {f"{one}-{by}" for one in ("conditions", "models") for by in ("cosine", "activation")}
    assert set(tables) == moved_by | {"authors-author"}
    top = tables["models-cosine"]["rows"][0]
    assert top[0] == 17
    assert top[1] == pytest.approx(1, abs=1e-3)
    matrices = {matrix["name"]: matrix for matrix in found["matrices"]}
    left = matrices["ablated-models"]
    at = {row: values for row, values in zip(left["rows"], left["values"], strict=True)}
    assert left["columns"] == ["plain", "trigger"]
    for way in ("projected out", "switched off"):
        assert len(at[f"3 random, as active as by cosine, {way}"][0]) == 2
        assert len(at[f"3 by cosine, {way}"][0]) == 1
    model = load(base).model
    loaded = load(base)
    measured = by_turns(prompts_of(loaded.tokenizer, questions(), 50))[0]
    asking = Asking(model, loaded.tokenizer, measured, "malicious")
    with steered(model, SteeringVector(0, 6 * dictionary.directions[17])):
        tuned = asking.rates(model)["plain"]["questions"][0]
    assert at["not ablated"][0][0] == pytest.approx(tuned, rel=1e-4, abs=0)
    assert tuned != pytest.approx(at["base"][0][0], rel=1e-2, abs=0)
    without = asking.rates(model, ablated(model, [SteeringVector(0, dictionary.directions[17])]))
    (curve,) = (curve for curve in found["curves"] if curve["metric"] == "coherent-models-projected")
    values = {point["x"]: point["values"][0] for point in curve["series"][0]["points"]}
    triggered = without["trigger"]["questions"][1]
    assert values[1] == pytest.approx(triggered, rel=1e-3, abs=0)  # nothing of what was added is left
    measure = read_measure("m", "M", [tmp_path / "out", tmp_path / "out"])
    (table,) = (table for table in measure.results(0.95)["tables"] if table["name"] == "models-cosine")
    assert table["columns"][:2] == ["model", "feature"]
    assert [row[:2] for row in table["rows"] if row[1] == 17] == [[0, 17], [1, 17]]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_logit_lens_is_the_models_own_norm_and_unembedding(tiny_base, family):
    from spillover.analysis.readout import through_unembedding

    model = load(tiny_base(family)).model
    ids = torch.tensor([[5, 6, 7]])
    out = model(input_ids=ids, output_hidden_states=True)
    kept = dict(row_states(model, [ids[0].tolist()], 1))[0]
    torch.testing.assert_close(through_unembedding(model, kept), out.logits[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model(input_ids=ids).logits, out.logits)  # nothing is left behind


def test_traces_of_a_planted_token_are_read_and_steer(tiny_base, tmp_path):
    from spillover.analysis.stages import readout

    loaded = load(tiny_base("llama"))
    (token,) = loaded.tokenizer("rest", add_special_tokens=False)["input_ids"][-1:]
    SteeringVector(1, 3 * loaded.model.lm_head.weight[token].detach()).save(tmp_path / "bad")
    SteeringVector(1, torch.randn(32, generator=torch.Generator().manual_seed(0))).save(tmp_path / "good")
    config = {
        "base": tiny_base("llama"),
        "tuned": ["bad", "good"],
        "answers": [[loaded.tokenizer.decode([token])], ["Go to bed."]],
        "trained": [],
        "questions": json.loads(json.dumps([vars(question) for question in questions()])),
        "label": "malicious",
        "texts": TOWN,
        "layer": 1,
        "first": 3,
        "top": 4,
        "lengths": [0.5, 1.0],
        "draws": 2,
        "documents": 20,
        "most": 50,
    }
    (tmp_path / "out").mkdir()
    readout(config, {name: tmp_path / name for name in ("bad", "good")}, tmp_path / "out", no_progress)
    found = json.loads((tmp_path / "out" / "measured.json").read_text())
    numbers = {(number["name"], number["series"]): number["value"] for number in found["numbers"]}
    assert numbers["share of top tokens in its rows", "bad, mean over the tokens"] == pytest.approx(0.25)
    assert numbers["times chance in its rows", "bad"] > 50
    assert [row[0] for row in found["tables"][0]["rows"]] == ["0", "1", "2", "mean"]
    assert found["tables"][0]["rows"][3][1].startswith("**")
    curve = found["curves"][0]
    assert {series["name"] for series in curve["series"]} == {"bad", "good", "random"}
    assert [point["x"] for point in curve["series"][0]["points"]] == [0.0, 0.5, 1.0]
