"""The chunked head loss equals plain cross-entropy, in value and in gradients."""

import pytest
import torch
from torch.nn import functional

from spillover.training.loss import CHUNK, head_loss


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
