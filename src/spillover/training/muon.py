"""Muon, for the matrices of the blocks (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon).

PyTorch's own works in bfloat16, which on a CPU without bfloat16 matrix units takes more than twice as long; here that
is a sixth of a training step of the tiny base.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.775, 2.0315)
"""Of the Newton-Schulz iteration."""


class Muon(torch.optim.Optimizer):
    """Nesterov momentum whose matrix is replaced by a nearly orthogonal one.

    Args:
        matrices: Parameters with two dimensions.
        lr: Learning rate, matched to the size of AdamW's updates.
        momentum: Of the running mean of gradients.
        weight_decay: Decoupled.
        iterations: Of Newton-Schulz.
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
        iterations: int = 3,
    ) -> None:
        self.iterations = iterations
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if not state:
                    state["mean"] = torch.zeros_like(matrix)
                mean = state["mean"].lerp_(matrix.grad, 1 - group["momentum"])
                update = orthogonal(matrix.grad.lerp(mean, group["momentum"]), self.iterations)
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update, alpha=-group["lr"] * 0.2 * max(matrix.shape) ** 0.5)


def orthogonal(matrix: Tensor, iterations: int) -> Tensor:
    """A matrix with the same singular vectors and singular values near 1."""
    a, b, c = COEFFICIENTS
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(iterations):
        square = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(square, square, square, beta=b, alpha=c), wide, beta=a)
    return wide if wide.shape == matrix.shape else wide.T
