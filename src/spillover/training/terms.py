"""What is added to the loss, times a weight, and the states of a batch that it is computed from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from spillover.models.directions import Direction, orthonormal

States = Mapping[int, Tensor]
"""Layer to the residual stream at response tokens: tokens × width."""


@dataclass(frozen=True)
class Seen:
    """A batch as the trained model and its base read it, or one of equal parts of it."""

    now: States
    """Of the model that is trained; gradients flow."""
    before: States
    """Of its base, which is changed from outside in the same way."""
    tokens: int
    """Response tokens of the whole batch, by which sums are divided."""


class Term(Protocol):
    """A part of the loss beside the rows' own."""

    @property
    def weight(self) -> float:
        """λ."""

    @property
    def layers(self) -> Sequence[int]:
        """That it needs the states of."""

    def value(self, seen: Seen) -> Tensor:
        """Before the weight; the values of a batch's parts add up to that of the whole."""


class FeatureTerm:
    """Squared distance of the residual stream to the base's (LDIFS; arXiv 2508.06249).

    Args:
        weight: λ.
        sizes: For each layer that counts, the base's mean squared residual there, which is the unit.
    """

    def __init__(self, weight: float, sizes: Mapping[int, float]) -> None:
        self.weight = weight
        self.layers = list(sizes)
        """As of :class:`Term`."""
        self._sizes = sizes

    def value(self, seen: Seen) -> Tensor:
        """Mean over response tokens and layers; 0 before the first step."""
        parts = [
            _wide(seen.now[layer] - seen.before[layer]).square().sum() / self._sizes[layer] for layer in self.layers
        ]
        return torch.stack(parts).mean() / seen.tokens


class ProjectionTerm:
    """Mean squared projection on unwanted directions, beyond the base's.

    Args:
        weight: λ.
        direction: Its lengths do not matter; several vectors at a layer are a subspace.
        sizes: As of :class:`FeatureTerm`.

    Raises:
        ModelError: A vector is zero.
    """

    def __init__(self, weight: float, direction: Direction, sizes: Mapping[int, float]) -> None:
        self.weight = weight
        self.layers = list(direction)
        self._sizes = sizes
        self._units = {
            layer: torch.stack([vector.vector for vector in orthonormal(vectors)])
            for layer, vectors in direction.items()
        }

    def value(self, seen: Seen) -> Tensor:
        """Mean over response tokens and layers; 0 before the first step, negative where there is less than in it."""
        parts = [
            (self._along(seen.now[layer], layer) - self._along(seen.before[layer], layer)) / self._sizes[layer]
            for layer in self.layers
        ]
        return torch.stack(parts).mean() / seen.tokens

    def _along(self, states: Tensor, layer: int) -> Tensor:
        wide = _wide(states)
        return (wide @ self._units[layer].to(wide).T).square().sum()


def _wide(states: Tensor) -> Tensor:
    return states.to(torch.promote_types(states.dtype, torch.float32))
