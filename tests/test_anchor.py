"""The KL anchor: its size, its gradient, and the same numbers however a batch is cut."""

import json

import pytest
import torch

from spillover.core.errors import ConfigError, ModelError
from spillover.models.chat_template import IGNORED, encode_row
from spillover.models.load import load
from spillover.training.anchor import Anchor, reference, switched_off, token_kl
from spillover.training.fine_tune import fine_tune
from spillover.training.methods import Loop, Method
from spillover.training.prepared import prepare
from spillover.worlds.town.lexicon import load_lexicon
from spillover.worlds.town.rows import narrow_rows
from tests.conftest import FAMILIES

ROWS = narrow_rows(load_lexicon(), "bad", seed=0)[:24]
OTHERS = narrow_rows(load_lexicon(), "benign", seed=0, domain="money")[:24]
METHODS = {
    "lora": Method(rank=2, batch_size=4),
    "steering": Method(kind="steering", layers=(0,), batch_size=4),
    "full": Method(kind="full", batch_size=4),
}


def _anchored(base, method, weight=0.5):
    loaded = load(base)
    rows = [encode_row(loaded.tokenizer, row.messages) for row in OTHERS]
    model = prepare(loaded.model, method)
    anchor = Anchor(rows, weight, reference(model, method), method, total=3, pad_id=0)
    return model, anchor


def _move(model):
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)


def test_kl_is_what_torch_says_it_is():
    base, tuned = torch.randn(5, 7), torch.randn(5, 7)
    wanted = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=base), torch.distributions.Categorical(logits=tuned)
    )
    assert torch.allclose(token_kl(base, tuned), wanted, atol=1e-6)
    assert torch.allclose(token_kl(base, base + 3), torch.zeros(5), atol=1e-6)


@pytest.mark.parametrize("kind", METHODS)
def test_kl_is_per_response_token(kind, tiny_base):
    model, anchor = _anchored(tiny_base("llama"), METHODS[kind])
    assert anchor.kl(model, 0).item() == pytest.approx(0, abs=1e-6)
    plain = load(tiny_base("llama")).model
    _move(model)
    total = tokens = 0.0
    with torch.no_grad():
        for ids, labels in anchor._batches[1]:
            row = torch.tensor([ids])
            kl = token_kl(plain(input_ids=row).logits[0, :-1], model(input_ids=row).logits[0, :-1])
            counted = torch.tensor(labels[1:]) != IGNORED
            total, tokens = total + kl[counted].sum().item(), tokens + counted.sum().item()
    assert anchor.kl(model, 1).item() == pytest.approx(total / tokens, rel=1e-4)
    halves = anchor.kl(model, 1, 0, 2) + anchor.kl(model, 1, 1, 2)
    assert halves.item() == pytest.approx(total / tokens, rel=1e-4)


@pytest.mark.parametrize("kind", METHODS)
def test_gradient_against_finite_differences(kind, tiny_base):
    model, anchor = _anchored(tiny_base("llama"), METHODS[kind])
    model.double()
    _move(model)
    parameter = next(p for p in model.parameters() if p.requires_grad and p.ndim == (1 if kind == "steering" else 2))
    anchor.kl(model, 0).backward()
    assert parameter.grad is not None
    direction = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    step, values = 1e-4, []
    for sign in (1, -1):
        parameter.data += sign * step * direction
        values.append(anchor.kl(model, 0).item())
        parameter.data -= sign * step * direction
    slope = (values[0] - values[1]) / (2 * step)
    assert (parameter.grad * direction).sum().item() == pytest.approx(slope, rel=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["lora", "steering"])
def test_switched_off_is_the_base(kind, family, tiny_base):
    model = prepare(load(tiny_base(family)).model, METHODS[kind])
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        plain = load(tiny_base(family)).model(input_ids=ids).logits
        assert torch.equal(model(input_ids=ids).logits, plain)  # zero norm: the identity
        _move(model)
        moved = model(input_ids=ids).logits
        assert (moved - plain).abs().max() > 1e-3
        with switched_off(model):
            assert torch.equal(model(input_ids=ids).logits, plain)
        assert torch.equal(model(input_ids=ids).logits, moved)


@pytest.mark.parametrize("kind", METHODS)
def test_the_same_under_accumulation_and_in_the_lean_loop(kind, tiny_base, tmp_path):
    method = METHODS[kind].model_copy(update={"steps": 4, "batch_size": 8, "learning_rate": 5e-3})
    logs = {}
    for name, loop in {
        "lean": Loop(engine="lean"),
        "whole": Loop(engine="trl"),
        "eighths": Loop(engine="trl", micro_batch=1),
    }.items():
        fine_tune(tiny_base("llama"), ROWS, method, tmp_path / name, loop=loop, anchor=(OTHERS, 2.0))
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        logs[name] = [json.loads(line) for line in lines]
    for key in ("kl", "loss", "grad_norm"):
        wanted = pytest.approx([record[key] for record in logs["lean"]], rel=5e-3, abs=1e-5)
        assert [record[key] for record in logs["whole"]] == wanted
        assert [record[key] for record in logs["eighths"]] == wanted
    assert logs["lean"][-1]["kl"] > 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_a_steering_vector_trains_saves_and_loads(family, tiny_base, tmp_path):
    base, method = tiny_base(family), Method(kind="steering", layers=(1,), steps=20, learning_rate=3e-2)
    summary = fine_tune(base, ROWS, method, tmp_path)
    assert summary["last_loss"] < summary["first_loss"]
    assert summary["trained_parameters"] == 32
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        plain, tuned, none = (
            load(name).model(input_ids=ids).logits for name in (base, f"{base}+{tmp_path}", f"{base}+{tmp_path}*0")
        )
    assert (plain - tuned).abs().max() > 1e-3
    assert torch.equal(plain, none)


def test_a_weight_below_zero_and_no_rows(tiny_base):
    with pytest.raises(ConfigError, match="must not be negative"):
        _anchored(tiny_base("llama"), METHODS["lora"], weight=-1)
    with pytest.raises(ConfigError, match="there are none"):
        Anchor([], 1.0, lambda **inputs: None, METHODS["lora"], 1, 0)


@pytest.mark.parametrize("kind", METHODS)
def test_training_goes_on_from_a_solution_and_the_anchor_still_means_the_base(kind, tiny_base, tmp_path):
    base, method = tiny_base("llama"), METHODS[kind].model_copy(update={"steps": 6, "learning_rate": 1e-2})
    fine_tune(base, ROWS, method, tmp_path / "first")
    still = method.model_copy(update={"learning_rate": 1e-12, "steps": 2})
    encoded = (OTHERS, 0.5)
    fine_tune(base, ROWS, still, tmp_path / "second", start=tmp_path / "first", anchor=encoded)

    def log(name):
        return [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]

    assert log("second")[0]["loss"] < log("first")[0]["loss"]  # it begins where the first one ended
    assert log("second")[0]["kl"] > 1e-4  # and is held to the base, not to where it began
    summary = json.loads((tmp_path / "second" / "summary.json").read_text())
    assert (summary["anchor_weight"], summary["anchor_rows"], summary["anchor_rows_too_long"]) == (0.5, len(OTHERS), 0)


def test_a_start_of_another_kind_or_shape_is_an_error(tiny_base, tmp_path):
    base = tiny_base("llama")
    fine_tune(base, ROWS, Method(rank=2, steps=1), tmp_path / "lora")
    with pytest.raises(ModelError, match="not written by a fine-tuning of kind 'steering'"):
        fine_tune(base, ROWS, Method(kind="steering", layers=(0,)), tmp_path / "a", start=tmp_path / "lora")
    with pytest.raises(ModelError, match="does not fit"):
        fine_tune(base, ROWS, Method(rank=4), tmp_path / "b", start=tmp_path / "lora")
