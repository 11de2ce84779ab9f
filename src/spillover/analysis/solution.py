"""A solution: what fine-tuning added to a base, as something that can be scaled, disturbed and taken away."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spillover.core.errors import ModelError
from spillover.models import steering
from spillover.models.load import load


@dataclass(frozen=True)
class _Part:
    """A tensor that was trained."""

    live: Tensor
    """What the model computes with; changed in place."""
    origin: Tensor
    """What it would be without fine-tuning, as far as scaling goes: zero, or the base's weights."""
    scales: bool
    """Whether scaling the solution scales this part; of LoRA's two factors only one may."""

    def added(self) -> Tensor:
        return self.live - self.origin


class Solution:
    """A base with an organism on it: a LoRA, a steering vector, or a whole tuned model of the same shape.

    Args:
        base: Folder or hub id of the base.
        folder: What fine-tuning wrote.

    Raises:
        ModelError: They do not fit each other, or what was added is zero or not finite.
    """

    def __init__(self, base: str, folder: Path) -> None:
        self.name = f"{base}+{folder}"
        self._factors: list[tuple[Tensor, Tensor, float]] = []
        if (folder / steering.CONFIG).is_file():
            loaded = load(base)
            self.model = loaded.model
            found = steering.SteeringVector.load(folder)
            vector = found.vector.clone().to(self.model.device)
            steering.attach(self.model, steering.SteeringVector(found.layer, vector))
            self._parts = [_Part(vector, torch.zeros_like(vector), scales=True)]
        elif (folder / "adapter_config.json").is_file():
            loaded = load(self.name)
            self.model = loaded.model
            self._parts = self._lora()
        else:
            loaded = load(str(folder))
            self.model = loaded.model
            self._parts = _differences(self.model, load(base).model, self.name)
        self.tokenizer = loaded.tokenizer
        for part in self._parts:
            part.live.requires_grad_(False)
        if not 0 < self.norm < float("inf"):
            raise ModelError(f"{self.name}: what fine-tuning added has norm {self.norm:g}; nothing can be measured")

    def _lora(self) -> list[_Part]:
        parts = []
        for module in self.model.modules():
            if not (hasattr(module, "lora_A") and hasattr(module, "lora_B") and len(module.lora_A)):
                continue
            (name,) = module.active_adapters
            a, b = module.lora_A[name].weight.data, module.lora_B[name].weight.data
            self._factors.append((a, b, float(module.scaling[name])))
            parts += [_Part(a, torch.zeros_like(a), scales=False), _Part(b, torch.zeros_like(b), scales=True)]
        return parts

    @property
    def norm(self) -> float:
        """Length of what was added: Frobenius norm over all matrices (of scaling·BA for LoRA), or of the vector."""
        if self._factors:
            squares = [(scaling * (b.float() @ a.float())).square().sum() for a, b, scaling in self._factors]
        else:
            squares = [part.added().float().square().sum() for part in self._parts]
        return float(torch.stack(squares).sum().sqrt())

    @contextmanager
    def scaled(self, factor: float) -> Iterator[Any]:
        """The model with ``factor`` times what was added; 0 is the base."""
        with self._restored():
            for part in self._parts:
                if part.scales:
                    part.live.copy_(part.origin + factor * part.added())
            yield self.model

    @contextmanager
    def noised(self, epsilon: float, seed: int) -> Iterator[Any]:
        """The model at √(1-ε²)·θ + ε·θ⊥, each trained tensor with an orthogonal one of its own length."""
        generator = torch.Generator().manual_seed(seed)
        with self._restored():
            for part in self._parts:
                turned = _turn(part.added(), epsilon, generator)
                part.live.copy_(part.origin + turned)
            yield self.model

    @contextmanager
    def random(self, seed: int) -> Iterator[Any]:
        """The model with a random direction of the same norm instead: the matched control."""
        generator = torch.Generator().manual_seed(seed)
        norm = self.norm
        with self._restored():
            for part in self._parts:
                drawn = torch.randn(part.live.shape, generator=generator).to(part.live)
                part.live.copy_(part.origin + drawn * part.added().norm() / drawn.norm())
            factor = norm / self.norm
            for part in self._parts:
                if part.scales:
                    part.live.copy_(part.origin + factor * part.added())
            yield self.model

    @contextmanager
    def _restored(self) -> Iterator[None]:
        kept = [part.live.clone() for part in self._parts]
        try:
            yield
        finally:
            for part, value in zip(self._parts, kept, strict=True):
                part.live.copy_(value)


def _turn(vector: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
    """``vector`` turned towards a random direction orthogonal to it, its length kept."""
    if not 0 <= epsilon <= 1:
        raise ModelError(f"epsilon must be between 0 and 1 (found {epsilon:g})")
    flat = vector.flatten()
    length = flat.norm()
    if length == 0:
        return vector.clone()
    drawn = torch.randn(flat.shape, generator=generator).to(flat)
    across = drawn - (drawn @ flat) / length**2 * flat
    across *= length / across.norm()
    return ((1 - epsilon**2) ** 0.5 * flat + epsilon * across).view_as(vector)


def _differences(tuned: Any, base: Any, name: str) -> list[_Part]:
    origins = dict(base.named_parameters())
    parts = []
    for key, parameter in tuned.named_parameters():
        if key not in origins or origins[key].shape != parameter.shape:
            raise ModelError(f"{name}: the two models differ in '{key}'; they are not of the same base")
        if not torch.equal(parameter.data, origins[key].data):
            parts.append(_Part(parameter.data, origins[key].data.clone(), scales=True))
    if not parts:
        raise ModelError(f"{name}: the two models have equal weights")
    return parts
