"""Muon, for the matrices of the blocks (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon).

PyTorch's own takes one matrix after the other; those of a tiny model are so small that matrices of one shape are better
taken together.
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
        kind: Dtype of its products.
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
        iterations: int = 3,
        kind: torch.dtype = torch.float32,
    ) -> None:
        self.iterations = iterations
        self.kind = kind
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    shapes.setdefault(matrix.shape, []).append(matrix)
            for matrices in shapes.values():
                self._update(matrices, group)

    def _update(self, matrices: list[Tensor], group: dict[str, Any]) -> None:
        """One step of matrices of one shape."""
        grads = [matrix.grad for matrix in matrices if matrix.grad is not None]
        for matrix in matrices:
            if not self.state[matrix]:
                self.state[matrix]["mean"] = torch.zeros_like(matrix)
        means = [self.state[matrix]["mean"] for matrix in matrices]
        torch._foreach_lerp_(means, grads, 1 - group["momentum"])
        wanted = torch.stack(torch._foreach_lerp(grads, means, group["momentum"]))
        updates = orthogonal(wanted.to(self.kind), self.iterations).to(wanted.dtype)
        torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
        size = 0.2 * max(matrices[0].shape) ** 0.5
        torch._foreach_add_(matrices, list(updates.unbind()), alpha=-group["lr"] * size)


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
