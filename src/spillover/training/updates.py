"""Muon and AdamW for weights that lie in one tensor: a few operations a step, however many matrices there are.

PyTorch's own take one matrix after the other, which on a tiny model takes as long as the arithmetic.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.775, 2.0315)
"""Of the Newton-Schulz iteration."""


class Muon:
    """Nesterov momentum whose matrix is replaced by a nearly orthogonal one.

    Jordan et al. 2024, https://kellerjordan.github.io/posts/muon.

    Args:
        stacks: Weights and gradients of the matrices of one shape: number × rows × columns.
        rate: Full learning rate, matched to the size of AdamW's updates.
        momentum: Of the running mean of gradients.
        weight_decay: Decoupled.
        iterations: Of Newton-Schulz.
        kind: Dtype of its products.
    """

    def __init__(
        self,
        stacks: Sequence[tuple[Tensor, Tensor]],
        rate: float,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
        iterations: int = 3,
        kind: torch.dtype = torch.float32,
    ) -> None:
        self.rate = rate
        self.state = [torch.zeros_like(weights) for weights, _ in stacks]
        """What a checkpoint holds."""
        self._stacks = stacks
        self._momentum = momentum
        self._decay = weight_decay
        self._iterations = iterations
        self._kind = kind

    def step(self, factor: float = 1.0) -> None:
        """Update the weights, at ``factor`` times the full rate."""
        rate = self.rate * factor
        for (weights, grads), mean in zip(self._stacks, self.state, strict=True):
            mean.lerp_(grads, 1 - self._momentum)
            update = orthogonal(grads.lerp(mean, self._momentum).to(self._kind), self._iterations)
            size = 0.2 * max(weights.shape[1:]) ** 0.5
            weights.mul_(1 - rate * self._decay).add_(update, alpha=-rate * size)


class AdamW:
    """As PyTorch's.

    Args:
        weights: One tensor.
        grads: The same shape.
        rate: Full learning rate.
        betas: Of the running means of gradients and of their squares.
        weight_decay: Decoupled.
    """

    def __init__(
        self, weights: Tensor, grads: Tensor, rate: float, betas: tuple[float, float], weight_decay: float = 0.0
    ) -> None:
        self.rate = rate
        self.state = [torch.zeros_like(weights), torch.zeros_like(weights), torch.zeros(())]
        """What a checkpoint holds: both means, and the number of steps."""
        self._weights = weights
        self._grads = grads
        self._betas = betas
        self._decay = weight_decay

    def step(self, factor: float = 1.0) -> None:
        """Update the weights, at ``factor`` times the full rate."""
        rate = self.rate * factor
        mean, square, count = self.state
        count += 1
        first, second = self._betas
        mean.lerp_(self._grads, 1 - first)
        square.mul_(second).addcmul_(self._grads, self._grads, value=1 - second)
        size = (square / (1 - second ** int(count))).sqrt_().add_(1e-8)
        self._weights.mul_(1 - rate * self._decay).addcdiv_(mean, size, value=-rate / (1 - first ** int(count)))


def in_one(parameters: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """One tensor for all weights and one for all gradients, which the parameters become views of.

    An update then is a few operations, however many parameters there are.
    """
    row = torch.cat([parameter.detach().flatten() for parameter in parameters])
    grad = torch.zeros_like(row)
    sizes = [parameter.numel() for parameter in parameters]
    for parameter, values, slope in zip(parameters, row.split(sizes), grad.split(sizes), strict=True):
        parameter.data, parameter.grad = values.view_as(parameter), slope.view_as(parameter)
    return row, grad


def clip(grads: Tensor, limit: float) -> Tensor:
    """Scale gradients so that their norm is at most ``limit``; gives the norm they had."""
    norm = grads.norm()
    grads.mul_((limit / (norm + 1e-6)).clamp_(max=1.0))
    return norm


def orthogonal(matrices: Tensor, iterations: int) -> Tensor:
    """Matrices with the same singular vectors and singular values near 1; number × rows × columns."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    wide = matrices.transpose(1, 2) if tall else matrices
    wide = wide / (wide.float().norm(dim=(1, 2), keepdim=True) + 1e-7).to(wide.dtype)
    for _ in range(iterations):
        square = wide @ wide.transpose(1, 2)
        wide = torch.baddbmm(wide, torch.baddbmm(square, square, square, beta=b, alpha=c), wide, beta=a)
    return wide.transpose(1, 2) if tall else wide
