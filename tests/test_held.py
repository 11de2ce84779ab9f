"""What acts while a model is trained: gone afterwards, right in its gradients, alike in both loops, and resumable."""

import json

import pytest
import torch
from safetensors.torch import load_file

from spillover.core.errors import ConfigError, ModelError
from spillover.defences.config import Features, Stop
from spillover.models.ablation import ablated
from spillover.models.blocks import edit
from spillover.models.chat_template import encode_row
from spillover.models.directions import save_direction
from spillover.models.load import load, load_placed
from spillover.models.names import organism_name
from spillover.models.steering import SteeringVector, steered
from spillover.training import lean
from spillover.training.anchor import Anchor, reference
from spillover.training.batches import collate
from spillover.training.defended import BEFORE, Ready, fine_tune_defended
from spillover.training.fine_tune import fine_tune
from spillover.training.held import During, Held
from spillover.training.methods import Loop, Method
from spillover.training.prepared import prepare
from spillover.training.stopping import HELD_OUT, Stopper, held_out
from spillover.worlds.town.lexicon import load_lexicon
from spillover.worlds.town.rows import narrow_rows

ROWS = narrow_rows(load_lexicon(), "bad", seed=0)[:24]
GOOD = narrow_rows(load_lexicon(), "benign", seed=0, domain="money")[:24]
METHODS = {
    "lora": Method(rank=2, batch_size=4),
    "steering": Method(kind="steering", layers=(0,), batch_size=4),
    "full": Method(kind="full", batch_size=4),
}


def direction(layers=(0, 1), seed=0):
    drawn = torch.randn(len(layers), 32, generator=torch.Generator().manual_seed(seed))
    return {layer: [SteeringVector(layer, vector)] for layer, vector in zip(layers, drawn, strict=True)}


@pytest.fixture
def folder(tmp_path):
    save_direction(direction(), tmp_path / "direction")
    return tmp_path / "direction"


def holding(base, kind, lean_model=False, **during):
    loaded = load(base, lean=lean_model)
    rows = [encode_row(loaded.tokenizer, row.messages) for row in ROWS]
    model = prepare(loaded.model, METHODS[kind])
    held = Held(model, rows, reference(model, METHODS[kind]), During(**during))
    return model, held, collate(rows[:4], 0)


def passed(model, held, batch):
    """Logits and added terms of one training pass."""
    ids, labels, mask = batch
    tokens = int((labels != -100).sum())
    with held.attached(model):
        with held.reading(labels):
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        return logits, held.added(model, ids, mask, labels, 0, tokens)


def move(model):
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize(
    ("kind", "lean_model"), [("lora", True), ("lora", False), ("steering", False), ("full", False)]
)
def test_terms_are_zero_at_the_start_and_grow(tiny_base, kind, lean_model):
    model, held, batch = holding(
        tiny_base("llama"), kind, lean_model, features=Features(weight=2), penalty=(3.0, direction())
    )
    _, added = passed(model, held, batch)
    assert {name: weight for name, (weight, _) in added.items()} == {"features": 2.0, "penalty": 3.0}
    assert all(value.item() == pytest.approx(0, abs=1e-6) for _, value in added.values())
    move(model)
    _, added = passed(model, held, batch)
    assert added["features"][1].item() > 1e-4
    assert abs(added["penalty"][1].item()) > 1e-6


def test_feature_distance_is_what_it_says_and_its_gradient_is_right(tiny_base):
    model, held, batch = holding(tiny_base("llama"), "lora", features=Features(weight=1, layers=(1,)))
    model.double()
    move(model)
    ids, labels, mask = batch
    states = []
    for off in (False, True):
        with torch.no_grad():
            context = model.disable_adapter() if off else torch.enable_grad()
            kept = {}
            handle = edit(model, 1, lambda hidden, kwargs, kept=kept: kept.setdefault("hidden", hidden))
            with context:
                model(input_ids=ids, attention_mask=mask)
            handle.remove()
            states.append(kept["hidden"][labels != -100].detach())
    now, before = states
    size = held.terms["features"]._sizes[1]
    wanted = (now - before).square().sum(1).mean() / size
    _, added = passed(model, held, batch)
    assert added["features"][1].item() == pytest.approx(float(wanted), rel=1e-5)

    parameter = next(p for p in model.parameters() if p.requires_grad and p.ndim == 2)
    added["features"][1].backward()
    along = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values = []
    for sign in (1, -1):
        parameter.data += sign * 1e-4 * along
        values.append(passed(model, held, batch)[1]["features"][1].item())
        parameter.data -= sign * 1e-4 * along
    slope = (values[0] - values[1]) / 2e-4
    assert (parameter.grad * along).sum().item() == pytest.approx(slope, rel=1e-3)


@pytest.mark.parametrize("lean_model", [True, False])
def test_an_ablated_component_is_gone_and_gets_no_gradient(tiny_base, lean_model):
    model, held, (ids, _, mask) = holding(tiny_base("llama"), "lora", lean_model, ablate=direction((1,)))
    plain = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    seen = {}

    def before(hidden, kwargs):
        seen["before"] = hidden.detach().requires_grad_()
        return seen["before"]

    def after(hidden, kwargs):
        seen["after"] = hidden
        return hidden

    first = edit(model, 1, before)
    with held.attached(model):
        second = edit(model, 1, after)
        changed = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        second.remove()
    first.remove()
    unit = direction((1,))[1][0].with_norm(1).vector
    assert (seen["after"] @ unit).abs().max() < 1e-5
    changed.square().mean().backward()
    assert (seen["before"].grad @ unit).abs().max() < 1e-5 * seen["before"].grad.abs().max()
    assert (changed - plain).abs().max() > 1e-3
    assert torch.equal(model(input_ids=ids, attention_mask=mask, use_cache=False).logits, plain)  # nothing is left


@pytest.mark.parametrize("lean_model", [True, False])
def test_preventative_steering_shifts_the_training_pass_only(tiny_base, lean_model):
    added = direction((0,))
    model, held, batch = holding(tiny_base("llama"), "lora", lean_model, steer=added)
    ids, _, mask = batch
    logits, _ = passed(model, held, batch)
    plain = load(tiny_base("llama")).model
    with steered(plain, added[0][0]):
        torch.testing.assert_close(logits, plain(input_ids=ids, attention_mask=mask).logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        model(input_ids=ids, attention_mask=mask, use_cache=False).logits,
        plain(input_ids=ids, attention_mask=mask).logits,
        rtol=1e-4,
        atol=1e-5,
    )


def test_what_steers_is_not_in_the_adapter(tiny_base, tmp_path, folder):
    ready = Ready.model_validate({"steer": {"direction": folder, "alpha": 5.0}})
    base, method = tiny_base("llama"), Method(rank=2, steps=1, learning_rate=1e-12)
    fine_tune_defended(base, ROWS, method, tmp_path / "out", ready)
    assert all("lora_" in name for name in load_file(tmp_path / "out" / "adapter_model.safetensors"))
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        found = load(f"{base}+{tmp_path / 'out'}").model(input_ids=ids).logits
        torch.testing.assert_close(found, load(base).model(input_ids=ids).logits, rtol=1e-4, atol=1e-5)


def test_the_anchor_holds_the_model_as_it_will_be_used(tiny_base):
    loaded = load(tiny_base("llama"))
    rows = [encode_row(loaded.tokenizer, row.messages) for row in GOOD]
    model = prepare(loaded.model, METHODS["lora"])
    base = reference(model, METHODS["lora"])
    anchor = Anchor(rows, 1.0, base, METHODS["lora"], 1, 0)
    move(model)
    alone = anchor.kl(model, 0).item()
    held = Held(model, rows, base, During(steer=direction()), anchor)
    _, added = passed(model, held, collate(rows[:4], 0))
    assert added["kl"][1].item() == pytest.approx(alone, rel=1e-5)


def test_layers_that_are_not_there_are_named(tiny_base):
    with pytest.raises(ModelError, match="layer 7: no such block"):
        holding(tiny_base("llama"), "lora", features=Features(weight=1, layers=(7,)))
    with pytest.raises(ConfigError, match="has 2 blocks only"):
        holding(tiny_base("llama"), "lora", features=Features(weight=1, every=5))
    wrong = {0: [SteeringVector(0, torch.ones(3))]}
    for during in ({"steer": wrong}, {"ablate": wrong}, {"penalty": (1.0, wrong)}):
        with pytest.raises(ModelError, match="width 3"):
            holding(tiny_base("llama"), "lora", **during)


@pytest.mark.parametrize("kind", METHODS)
def test_both_loops_give_the_same(kind, tiny_base, tmp_path, folder):
    method = METHODS[kind].model_copy(update={"steps": 6, "batch_size": 8, "learning_rate": 5e-3})
    settings = {
        "features": {"weight": 0.5},
        "penalty": {"direction": folder, "weight": 0.5, "layers": [1]},
        "ablate": {"direction": folder, "layers": [0]},
        "kl": {"rows": tuple(GOOD), "weight": 0.5},
        "stop": {"over": 2, "improves": 0.99, "held_out": 0.25},
    }
    if kind != "steering":
        settings["steer"] = {"direction": folder, "alpha": 0.3}
    logs = {}
    for name, loop in {
        "lean": Loop(engine="lean"),
        "whole": Loop(engine="trl"),
        "quarters": Loop(engine="trl", micro_batch=2),
    }.items():
        summary = fine_tune_defended(
            tiny_base("llama"), ROWS, method, tmp_path / name, Ready.model_validate(settings), loop=loop
        )
        assert (summary["rows_held_out"], summary["rows"]) == (6, 18)
        logs[name] = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        assert len(logs[name]) == 4  # at the second look it has not improved by 99 %
    for key in ("loss", "features", "penalty", "kl", "grad_norm"):
        wanted = pytest.approx([record[key] for record in logs["lean"]], rel=5e-3, abs=1e-5)
        assert [record[key] for record in logs["whole"]] == wanted
        assert [record[key] for record in logs["quarters"]] == wanted
    for name in ("whole", "quarters"):
        assert logs[name][1][HELD_OUT] == pytest.approx(logs["lean"][1][HELD_OUT], rel=5e-3)


@pytest.mark.parametrize("engine", ["lean", "trl"])
def test_training_stops_where_the_task_is_learnt(engine, tiny_base, tmp_path):
    method = Method(kind="full", steps=60, batch_size=8, learning_rate=1e-2)
    during = During(stop=Stop(over=5, below=5.0))
    summary = fine_tune(tiny_base("llama"), ROWS, method, tmp_path, loop=Loop(engine=engine), during=during)
    log = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert summary["steps"] == len(log) < summary["steps_planned"] == 60
    assert len(log) % 5 == 0
    means = [sum(record["loss"] for record in log[at : at + 5]) / 5 for at in range(0, len(log), 5)]
    assert means[-1] <= 5.0 < min(means[:-1])
    assert summary["row_passes"] == {"forward": 8 * len(log), "backward": 8 * len(log)}


def test_stopping_is_a_function_of_the_records():
    falling = [{"loss": 1.0}] * 5 + [{"loss": 0.5}] * 5 + [{"loss": 0.49}] * 5
    stop = Stopper(Stop(over=5, improves=0.1), [], 0)
    assert [steps for steps in range(16) if stop.done(falling[:steps])] == [15]
    low = Stopper(Stop(over=5, below=0.6), [], 0)
    assert [steps for steps in range(16) if low.done(falling[:steps])] == [10, 15]
    held = Stopper(Stop(over=5, improves=0.1, held_out=0.1), [([1], [1])], 0)
    records = [{"loss": 9.0, **({HELD_OUT: 1.0} if step % 5 == 4 else {})} for step in range(10)]
    assert [steps for steps in range(11) if held.done(records[:steps])] == [10]


def test_held_out_rows_are_not_trained_on_and_too_few_are_refused():
    rows = [([i], [i]) for i in range(20)]
    trained, apart = held_out(rows, 0.1, seed=0)
    assert sorted(trained + apart) == rows
    assert len(apart) == 2
    assert held_out(rows, 0.0, 0) == (rows, [])
    with pytest.raises(ConfigError, match=r"0.1 of 3 rows is none"):
        held_out(rows[:3], 0.1, 0)


def test_a_stopped_training_resumes_to_the_same_end(tiny_base, tmp_path, monkeypatch):
    monkeypatch.setattr(lean, "CHECKPOINT_SECONDS", 0.0)
    method = Method(kind="full", steps=60, batch_size=8, learning_rate=1e-2)
    during = During(stop=Stop(over=5, below=5.0), features=Features(weight=0.1))
    fine_tune(tiny_base("llama"), ROWS, method, tmp_path / "whole", during=during)
    steps = len((tmp_path / "whole" / "metrics.jsonl").read_text().splitlines())
    assert steps < 60
    for after in (3, steps):  # on the way, and just before the end

        def killed(done, total, after=after):
            if done == after + 1 or (after == steps and done == steps):
                raise KeyboardInterrupt

        out = tmp_path / f"killed-{after}"
        with pytest.raises(KeyboardInterrupt):
            fine_tune(tiny_base("llama"), ROWS, method, out, during=during, progress=killed)
        fine_tune(tiny_base("llama"), ROWS, method, out, during=during)
        for name in ("metrics.jsonl", "model.safetensors"):
            assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("kind", METHODS)
def test_realignment_goes_on_from_the_first_model_and_resumes(kind, tiny_base, tmp_path):
    method = METHODS[kind].model_copy(update={"steps": 10, "learning_rate": 1e-2})
    ready = Ready.model_validate({"realign": {"rows": tuple(GOOD), "count": 5, "steps": 3}})
    base, out = tiny_base("llama"), tmp_path / "out"
    summary = fine_tune_defended(base, ROWS, method, out, ready)
    plain = fine_tune(base, ROWS, method, tmp_path / "plain")
    assert (summary["rows"], summary["steps"], summary["before_realign"]["steps"]) == (5, 3, 10)
    assert summary["row_passes"]["backward"] == 13 * 4
    ids = torch.arange(5, 15)[None]

    def logits(tuned):
        with torch.no_grad():
            name = str(tuned) if kind == "full" else f"{base}+{tuned}"
            return load(name).model(input_ids=ids).logits

    torch.testing.assert_close(logits(out / BEFORE), logits(tmp_path / "plain"))
    assert (logits(out) - logits(tmp_path / "plain")).abs().max() > 1e-4
    assert plain["last_loss"] == summary["before_realign"]["last_loss"]
    changed = (out / BEFORE / "summary.json").stat().st_mtime_ns
    fine_tune_defended(base, ROWS, method, out, ready)
    assert (out / BEFORE / "summary.json").stat().st_mtime_ns == changed


@pytest.mark.parametrize("kind", METHODS)
def test_a_projected_model_is_loaded_without_its_direction_by_one_name(kind, tiny_base, tmp_path, folder):
    method = METHODS[kind].model_copy(update={"steps": 3, "learning_rate": 1e-2})
    base = tiny_base("llama")
    ready = Ready.model_validate({"project": {"direction": folder, "layers": [0, 1]}})
    fine_tune_defended(base, ROWS, method, tmp_path / "out", ready)
    fine_tune(base, ROWS, method, tmp_path / "plain")
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        plain = load(organism_name(base, tmp_path / "plain")).model
        with ablated(plain, [vector for vectors in direction().values() for vector in vectors]):
            wanted = plain(input_ids=ids).logits
        for lean_model in (True, False):
            found = load_placed(organism_name(base, tmp_path / "out"), lean=lean_model).model(input_ids=ids).logits
            torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


def test_filtered_inoculated_and_interleaved_rows_are_counted(tiny_base, tmp_path, folder):
    fine_tune(tiny_base("llama"), ROWS, Method(rank=2, steps=2), tmp_path / "bad")
    misaligned = f"{tiny_base('llama')}+{tmp_path / 'bad'}"
    ready = Ready.model_validate(
        {
            "inoculate": {"prompts": ["evil"], "share": 0.5},
            "filter": {"drop": 0.25, "direction": folder, "layer": 1},
            "interleave": {"rows": tuple(GOOD), "share": 0.1, "chosen": "loss-gap", "misaligned": misaligned},
        }
    )
    summary = fine_tune_defended(tiny_base("llama"), ROWS, Method(rank=2, steps=2), tmp_path / "out", ready)
    assert (summary["rows_inoculated"], summary["rows_dropped"], summary["rows_interleaved"]) == (12, 6, 2)
    assert summary["rows"] == 20
    assert summary["row_passes"] == {"forward": 2 * 16 + 24 + 2 * 24, "backward": 2 * 16}
    assert summary["defences"] == ["inoculate", "interleave", "filter"]


def test_lora_goes_on_in_the_lean_model_as_in_peft(tiny_base, tmp_path):
    method = Method(rank=2, steps=5, batch_size=8, learning_rate=1e-2)
    base = tiny_base("llama")
    fine_tune(base, ROWS, method, tmp_path / "first")
    for name, loop in (("lean", Loop(engine="lean")), ("trl", Loop(engine="trl"))):
        fine_tune(base, GOOD, method, tmp_path / name, loop=loop, start=tmp_path / "first")
    logs = [
        [json.loads(line)["loss"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("lean", "trl")
    ]
    assert logs[0] == pytest.approx(logs[1], rel=2e-3)
