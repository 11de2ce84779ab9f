"""Cross-entropy of a language-model head, without ever holding all logits."""

from typing import Any

import torch
from torch import Tensor

CHUNK = 512
"""Positions whose logits are held at a time: small enough for the cache of one core at a vocabulary of 2k."""


class _HeadLoss(torch.autograd.Function):
    """Computes loss and both gradients in the forward pass, a chunk of positions at a time."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        count = hidden.shape[0]
        grad_hidden, grad_weight = torch.empty_like(hidden), torch.zeros_like(weight)
        logits = hidden.new_empty(min(CHUNK, count), weight.shape[0])
        total = hidden.new_zeros(())
        for start in range(0, count, CHUNK):
            part, wanted = hidden[start : start + CHUNK], targets[start : start + CHUNK, None]
            scores = logits[: part.shape[0]]
            torch.mm(part, weight.t(), out=scores)
            picked, top = scores.gather(1, wanted), scores.amax(1, keepdim=True)
            scores.sub_(top).exp_()
            mass = scores.sum(1, keepdim=True)
            total += (mass.log() + top - picked).sum()
            scores.mul_(1 / (mass * count))
            scores.scatter_add_(1, wanted, scores.new_full(wanted.shape, -1 / count))
            torch.mm(scores, weight, out=grad_hidden[start : start + CHUNK])
            grad_weight.addmm_(scores.t(), part)
        ctx.save_for_backward(grad_hidden, grad_weight)
        return total / count

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden * grads[0], grad_weight * grads[0], None


def head_loss(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy in nats per token.

    Args:
        hidden: Last hidden states, positions × width, float32.
        weight: The head's weight, vocabulary × width.
        targets: Token ids, one for each position.
    """
    loss: Tensor = _HeadLoss.apply(hidden, weight, targets)
    return loss
