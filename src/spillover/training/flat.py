"""A plain Llama as pretraining holds it: all weights in one tensor, all gradients in another."""

from itertools import chain
from math import prod

import torch
from torch import Tensor

from spillover.models.llama_shape import LlamaShape, weight_shapes
from spillover.training.llama import JOINED, next_token_loss

INITIAL = 0.02
"""Standard deviation of new matrices."""


class FlatLlama:
    """Weights in float32, and beside them the matrices of the blocks in the dtype of products.

    Matrices of one shape lie together, for Muon; those that read the same states lie one under the other, so that one
    product does for all.

    Args:
        shape: As many key heads as query heads.
        seed: Of the first weights.
        device: Where everything is.
        kind: Dtype of the products.
    """

    def __init__(self, shape: LlamaShape, seed: int, device: torch.device, kind: torch.dtype) -> None:
        self.shape = shape
        self.kind = kind
        sizes = weight_shapes(shape)
        self._stacked: dict[tuple[int, ...], list[str]] = {}
        for name, size in sizes.items():
            if ".layers." in name and len(size) == 2:
                self._stacked.setdefault(size, []).append(name)
        matrices = list(chain(*self._stacked.values()))
        order = [*matrices, *(name for name in sizes if name not in matrices)]
        ends = torch.tensor([prod(sizes[name]) for name in order]).cumsum(0).tolist()
        self._place = dict(zip(order, zip([0, *ends], ends, strict=False), strict=True))
        self._split = self._place[matrices[-1]][1]
        self.row = torch.empty(ends[-1], device=device)
        """All weights."""
        self.grad = torch.zeros_like(self.row)
        """All gradients."""
        self.weights = {name: self._of(self.row, name).view(size) for name, size in sizes.items()}
        """As a checkpoint names them; views of the row."""
        self.grads = {name: self._of(self.grad, name).view(size) for name, size in sizes.items()}
        generator = torch.Generator().manual_seed(seed)
        for name, size in sizes.items():
            new = torch.ones(size) if len(size) == 1 else torch.empty(size).normal_(0, INITIAL, generator=generator)
            self.weights[name].copy_(new)
        self._products = self.row[: self._split] if kind == torch.float32 else self.row[: self._split].to(kind)
        self._leaves: dict[str, Tensor] = {}
        self._grad_of: dict[str, Tensor] = {}
        for layer in range(shape.num_hidden_layers):
            for joined, parts in JOINED.items():
                names = [f"model.layers.{layer}.{part}.weight" for part in parts]
                self._add_leaf(f"model.layers.{layer}.{joined}.weight", names, self._products)
        for name in order[len(matrices) :]:
            self._add_leaf(name, [name], self.row)

    def stacks(self) -> list[tuple[Tensor, Tensor]]:
        """Weights and gradients of the blocks' matrices of each shape: number × rows × columns."""
        found = []
        for size, names in self._stacked.items():
            begin, end = self._place[names[0]][0], self._place[names[-1]][1]
            found.append((self.row[begin:end].view(-1, *size), self.grad[begin:end].view(-1, *size)))
        return found

    def rest(self) -> tuple[Tensor, Tensor]:
        """Weights and gradients of everything else."""
        return self.row[self._split :], self.grad[self._split :]

    def refresh(self) -> None:
        """Weights have changed: round the products' copy of them anew."""
        if self.kind != torch.float32:
            self._products.copy_(self.row[: self._split])

    def loss_and_gradients(self, ids: Tensor, counted: Tensor) -> Tensor:
        """Of :func:`spillover.training.llama.next_token_loss`; the gradients are in ``grad``."""
        loss = next_token_loss(self._leaves, self.shape, ids, counted, self.kind)
        found = torch.autograd.grad(loss, list(self._leaves.values()))
        for name, grad in zip(self._leaves, found, strict=True):
            self._grad_of[name].copy_(grad)
        return loss.detach()

    def _of(self, row: Tensor, first: str, last: str | None = None) -> Tensor:
        return row[self._place[first][0] : self._place[last or first][1]]

    def _add_leaf(self, leaf: str, names: list[str], row: Tensor) -> None:
        width = self.weights[names[0]].shape[1:]
        tensor = self._of(row, names[0], names[-1]).view(-1, *width).detach()
        self._leaves[leaf] = tensor.requires_grad_()
        self._grad_of[leaf] = self._of(self.grad, names[0], names[-1]).view(-1, *width)
