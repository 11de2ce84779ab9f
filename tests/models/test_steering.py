"""Steering against a reference forward that adds the vector by hand, on every architecture."""

import pytest
import torch

from spillover.core.errors import ModelError
from spillover.models.blocks import blocks
from spillover.models.load import load
from spillover.models.steering import SteeringVector, steered
from tests.conftest import FAMILIES

LAYERS = (-1, 0)


@pytest.fixture(params=FAMILIES)
def model(request, tiny_base):
    return load(tiny_base(request.param)).model


@pytest.fixture(params=LAYERS)
def vector(request, model):
    return SteeringVector(request.param, torch.randn(32, generator=torch.Generator().manual_seed(1)))


def _ids(rows, width):
    return torch.randint(3, 500, (rows, width), generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def _reference(model, ids, vector, inside=None):
    """Row by row and without hooks: what a block gives, or what the first one reads, is shifted by hand."""
    rows = []
    for row in ids:
        place = blocks(model)[max(vector.layer, 0)]
        original = place.forward

        def forward(hidden, *args, _original=original, **kwargs):
            mask = torch.ones(hidden.shape[1], 1) if inside is None else inside[:, None].float()
            added = mask * vector.vector
            if vector.layer == -1:
                return _original(hidden + added, *args, **kwargs)
            return _original(hidden, *args, **kwargs) + added

        place.forward = forward
        try:
            rows.append(model(input_ids=row[None]).logits[0])
        finally:
            del place.forward
    return torch.stack(rows)


@torch.no_grad()
def test_every_row_is_shifted(model, vector):
    ids = _ids(4, 9)
    with steered(model, vector):
        found = model(input_ids=ids).logits
    assert torch.allclose(found, _reference(model, ids, vector), atol=1e-4)
    plain = model(input_ids=ids).logits
    assert (found - plain).abs().amax((1, 2)).min() > 1e-3  # each row differs from the plain one
    assert torch.equal(plain, model(input_ids=ids).logits)  # and nothing is left behind


@torch.no_grad()
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding(model, vector, side):
    ids = _ids(3, 8)
    lengths = [8, 5, 3]
    padded, mask = torch.zeros_like(ids), torch.zeros_like(ids)
    position = torch.zeros_like(ids)
    for i, n in enumerate(lengths):
        where = slice(8 - n, 8) if side == "left" else slice(0, n)
        padded[i, where], mask[i, where], position[i, where] = ids[i, :n], 1, torch.arange(n)
    with steered(model, vector, start=1, end=4):
        found = model(input_ids=padded, attention_mask=mask, position_ids=position).logits
    for i, n in enumerate(lengths):
        inside = (torch.arange(n) >= 1) & (torch.arange(n) < 4)
        wanted = _reference(model, ids[i : i + 1, :n], vector, inside)[0]
        where = slice(8 - n, 8) if side == "left" else slice(0, n)
        assert torch.allclose(found[i, where], wanted, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(("start", "end"), [(0, None), (3, 6)])
def test_with_a_cache(model, vector, start, end):
    ids = _ids(2, 8)
    position = torch.arange(8)
    inside = (position >= start) & (position < (end or 99))
    with steered(model, vector, start=start, end=end):
        first = model(input_ids=ids[:, :4], use_cache=True)
        pieces, cache = [first.logits], first.past_key_values
        for i in range(4, 8):
            step = model(input_ids=ids[:, i : i + 1], past_key_values=cache, use_cache=True)
            pieces.append(step.logits)
    assert torch.allclose(torch.cat(pieces, 1), _reference(model, ids, vector, inside), atol=1e-4)


def test_values(vector, tmp_path):
    other = SteeringVector(vector.layer, torch.randn(32, generator=torch.Generator().manual_seed(3)))
    assert torch.allclose((vector + other - other).vector, vector.vector, atol=1e-6)
    assert vector.cosine(vector * 3) == pytest.approx(1, abs=1e-6)
    assert vector.cosine(vector * -1) == pytest.approx(-1, abs=1e-6)
    assert abs(vector.cosine(vector.random_like(5))) < 0.7
    assert vector.random_like(5).norm == pytest.approx(vector.norm)
    vector.save(tmp_path)
    assert torch.equal(SteeringVector.load(tmp_path).vector, vector.vector)


def test_what_does_not_fit(model, vector):
    with pytest.raises(ModelError, match="blocks 0 to 1"), steered(model, SteeringVector(2, vector.vector)):
        pass
    with pytest.raises(ModelError, match="width 5"), steered(model, SteeringVector(0, torch.zeros(5))):
        pass
    with pytest.raises(ModelError, match="length zero"):
        (vector * 0).with_norm(1)
    with pytest.raises(ModelError, match=f"blocks {vector.layer} and 1"):
        vector + SteeringVector(1, vector.vector)
