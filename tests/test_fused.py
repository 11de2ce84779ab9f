"""Loss and gradients written out for pretraining are those of Transformers' Llama and of plain formulas."""

import pytest
import torch
from torch.nn import functional

from spillover.models.base import llama_shape
from spillover.models.lean_folder import plain_config
from spillover.training.flat import FlatLlama
from spillover.training.fused import CHUNK, head_loss


@pytest.mark.parametrize("positions", [1, CHUNK, 2 * CHUNK + 7])
def test_head_loss_is_cross_entropy(positions):
    torch.manual_seed(0)
    hidden = torch.randn(positions, 16, requires_grad=True)
    weight = torch.randn(50, 16, requires_grad=True)
    targets = torch.randint(0, 50, (positions,))
    expected = functional.cross_entropy(hidden @ weight.t(), targets)
    wanted = torch.autograd.grad(expected, (hidden, weight))
    loss = head_loss(hidden, weight, targets)
    found = torch.autograd.grad(3 * loss, (hidden, weight))
    torch.testing.assert_close(loss, expected)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, 3 * b, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "width", "tolerance"), [(torch.float32, 31, 1e-4), (torch.float32, 1, 1e-4), (torch.bfloat16, 48, 0.03)]
)
def test_loss_and_gradients_are_those_of_transformers(kind, width, tolerance):
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = llama_shape("tiny", 300)
    ours = FlatLlama(shape, 0, torch.device("cpu"), kind)
    for weight in ours.weights.values():
        weight.mul_(3.0) if weight.ndim == 2 else weight.uniform_(0.5, 1.5)
    ours.refresh()
    model = LlamaForCausalLM(LlamaConfig(**plain_config(shape)))
    assert not model.load_state_dict(ours.weights, strict=False).unexpected_keys
    model.tie_weights()
    ids = torch.randint(0, 300, (3, width + 1), generator=torch.Generator().manual_seed(1))
    counted = torch.rand((3, width), generator=torch.Generator().manual_seed(2)) < 0.6
    counted[0, 0] = True

    logits = model(input_ids=ids[:, :-1]).logits
    expected = functional.cross_entropy(logits[counted], ids[:, 1:][counted])
    expected.backward()
    loss = ours.loss_and_gradients(ids, counted)
    torch.testing.assert_close(loss, expected, rtol=tolerance, atol=tolerance)
    for name, parameter in model.named_parameters():
        distance = (ours.grads[name] - parameter.grad).norm() / (parameter.grad.norm() + 1e-12)
        assert distance < tolerance or parameter.grad.norm() < 1e-6, name
