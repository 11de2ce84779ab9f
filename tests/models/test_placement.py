import pytest
import torch
from safetensors.torch import save_file

from spillover.models import placement as module
from spillover.models.placement import parameters, placement


@pytest.fixture
def base(tmp_path):
    save_file({"a": torch.zeros(3, 5), "b": torch.zeros(7)}, tmp_path / "model-1.safetensors")
    save_file({"c": torch.zeros(2)}, tmp_path / "model-2.safetensors")
    return tmp_path


def test_parameters_are_counted_without_loading(base, tmp_path):
    assert parameters(base) == 24
    assert parameters(tmp_path / "none") == 0


@pytest.mark.parametrize(
    ("gpu", "bf16", "large", "expected"),
    [
        (False, False, 10, ("cpu", "float32")),
        (True, True, 100, ("cuda", "float32")),
        (True, True, 10, ("cuda", "bfloat16")),
        (True, False, 10, ("cuda", "float16")),
    ],
)
def test_device_and_dtype_with_the_reason(base, monkeypatch, gpu, bf16, large, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
    monkeypatch.setattr(module, "LARGE", large)
    found = placement(str(base))
    assert (found.device, found.dtype) == expected
    assert found.reason and found.reason in str(found)


def test_a_model_that_is_not_here_counts_as_large(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert placement("org/model").dtype == "bfloat16"
