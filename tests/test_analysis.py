"""The instruments on known answers: norms, the base at zero, right angles, and what is restored."""

import pytest
import torch

from spillover.analysis.metrics import efficiency, random_significance, response_loss, significance, stability
from spillover.analysis.solution import Solution, _turn
from spillover.core.errors import ModelError
from spillover.models.chat_template import encode_row
from spillover.models.load import load
from spillover.training.fine_tune import fine_tune
from spillover.training.methods import Method
from spillover.worlds.town.lexicon import load_lexicon
from spillover.worlds.town.rows import narrow_rows
from tests.conftest import FAMILIES

ROWS = narrow_rows(load_lexicon(), "bad", seed=0)[:16]
METHODS = {
    "lora": Method(rank=2, steps=25, learning_rate=1e-2),
    "steering": Method(kind="steering", layers=(0,), steps=25, learning_rate=3e-2),
    "full": Method(kind="full", steps=10, learning_rate=1e-3),
}
IDS = torch.arange(5, 25)[None]


@pytest.fixture(scope="module")
def solution(request, tiny_base, tmp_path_factory):
    family, kind = request.param
    out = tmp_path_factory.mktemp("tuned") / family / kind
    fine_tune(tiny_base(family), ROWS, METHODS[kind], out)
    return Solution(tiny_base(family), out), tiny_base(family), out


EVERY = [("llama", kind) for kind in METHODS] + [(family, "lora") for family in FAMILIES[1:]]


@torch.no_grad()
@pytest.mark.parametrize("solution", EVERY, indirect=True, ids="-".join)
def test_zero_is_the_base_one_is_the_organism(solution):
    found, base, out = solution
    tuned = str(out) if (out / "config.json").is_file() else f"{base}+{out}"
    wanted = load(tuned).model(input_ids=IDS).logits
    with found.scaled(0) as model:
        assert torch.allclose(model(input_ids=IDS).logits, load(base).model(input_ids=IDS).logits, atol=1e-5)
        assert found.norm == pytest.approx(0, abs=1e-6)
    assert torch.allclose(found.model(input_ids=IDS).logits, wanted, atol=1e-5)
    length = found.norm
    with found.scaled(2.5):
        assert found.norm == pytest.approx(2.5 * length, rel=1e-4)
    with found.random(0) as model:
        assert found.norm == pytest.approx(length, rel=1e-4)
        assert not torch.allclose(model(input_ids=IDS).logits, wanted, atol=1e-3)
    with found.noised(0.5, 1):
        pass
    assert torch.equal(found.model(input_ids=IDS).logits, load(tuned).model(input_ids=IDS).logits) or torch.allclose(
        found.model(input_ids=IDS).logits, wanted, atol=1e-6
    )


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_noise_turns_by_the_right_angle_and_keeps_the_length(epsilon):
    vector = torch.randn(4, 7)
    turned = _turn(vector, epsilon, torch.Generator().manual_seed(0))
    assert turned.norm() == pytest.approx(vector.norm().item(), rel=1e-4)
    cosine = (turned * vector).sum() / vector.norm() ** 2
    assert cosine.item() == pytest.approx((1 - epsilon**2) ** 0.5, abs=1e-4)


@pytest.mark.parametrize("solution", EVERY[:3], indirect=True, ids="-".join)
def test_curves(solution):
    found, base, _ = solution
    rows = [encode_row(found.tokenizer, row.messages) for row in ROWS]
    plain = response_loss(load(base).model, rows, 0)
    curve = efficiency(found, rows, [0.0, found.norm], 0)
    assert curve[0].values[0] == pytest.approx(plain, rel=1e-4)
    assert curve[1].values[0] == pytest.approx(response_loss(found.model, rows, 0), rel=1e-4)
    assert curve[1].values[0] < plain
    lost = stability(found, rows, [0.0, 0.9], 0, draws=3)
    assert lost[0].values == pytest.approx((0, 0, 0), abs=1e-3)
    assert min(lost[1].values) > 0.05
    assert len(set(lost[1].values)) == 3
    moved = significance(found, [IDS], [0.0, found.norm])
    assert moved[0].values[0] == pytest.approx(0, abs=1e-6)
    assert moved[1].values[0] > 1e-4
    random = random_significance(found, [IDS], [0.0, found.norm], draws=2)
    assert random[0].values == pytest.approx((0, 0), abs=1e-6)
    assert len(set(random[1].values)) == 2


def test_what_cannot_be_measured(tiny_base, tmp_path):
    fine_tune(tiny_base("llama"), ROWS, Method(steps=1, learning_rate=1e-12), tmp_path / "none")
    import safetensors.torch

    weights = tmp_path / "none" / "adapter_model.safetensors"
    zero = {name: torch.zeros_like(value) for name, value in safetensors.torch.load_file(weights).items()}
    safetensors.torch.save_file(zero, weights)
    with pytest.raises(ModelError, match="norm 0; nothing can be measured"):
        Solution(tiny_base("llama"), tmp_path / "none")
    fine_tune(tiny_base("llama"), ROWS, METHODS["full"], tmp_path / "full")
    with pytest.raises(ModelError, match="not of the same base"):
        Solution(tiny_base("gpt_neox"), tmp_path / "full")
    with pytest.raises(ModelError, match="equal weights"):
        from pathlib import Path

        Solution(tiny_base("llama"), Path(tiny_base("llama")))
