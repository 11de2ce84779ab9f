"""The path of a fine-tuning: its snapshots, how they turn, and a model that stands at any of them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spillover.core.errors import ModelError
from spillover.models import steering
from spillover.models.load import load_placed

MOVED = 0.002
"""Movements shorter than this share of the longest snapshot's length have no direction."""
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Snapshot:
    """What was trained until one step: LoRA's factors, or a steering vector."""

    step: int
    tensors: dict[str, Tensor]
    scaling: float = 1.0
    """Of BA, for LoRA."""

    def factors(self) -> list[tuple[Tensor, Tensor]]:
        """(scaling·B, A) of each adapted matrix, in order of their names, in float64; empty for a steering vector."""
        names = sorted(name for name in self.tensors if ".lora_B." in name)
        return [
            (self.scaling * self.tensors[b].double(), self.tensors[b.replace(".lora_B.", ".lora_A.")].double())
            for b in names
        ]

    def direction(self) -> Tensor:
        """What turns in arXiv 2506.11613: every B, or the steering vector, as one vector in float64."""
        parts = [b.flatten() for b, _ in self.factors()] or [self.tensors["vector"].double()]
        return torch.cat(parts)


def snapshots(folder: Path) -> list[Snapshot]:
    """The snapshots of a fine-tuning that was probed, by step.

    Raises:
        ModelError: There are none, or one cannot be read.
    """
    steps = sorted(int(path.name.rpartition("-")[2]) for path in folder.glob("checkpoint-*") if path.is_dir())
    if not steps:
        raise ModelError(f"'{folder}' has no snapshots (checkpoint-STEP); fine-tune with probe_every")
    return [_read(folder / f"checkpoint-{step}", step) for step in steps]


def _read(folder: Path, step: int) -> Snapshot:
    from safetensors.torch import load_file

    if (folder / steering.CONFIG).is_file():
        return Snapshot(step, {"vector": steering.SteeringVector.load(folder).vector})
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "adapter_model.safetensors")
        rank = config["r"]
        return Snapshot(step, tensors, config["lora_alpha"] / (rank**0.5 if config["use_rslora"] else rank))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"snapshot '{folder}' cannot be read ({error})") from None


def directions_gram(path: Sequence[Snapshot]) -> Matrix:
    """Inner products of the directions (see :meth:`Snapshot.direction`), snapshots × snapshots."""
    stacked = torch.stack([snapshot.direction() for snapshot in path])
    return (stacked @ stacked.T).numpy()


def added_gram(path: Sequence[Snapshot]) -> Matrix:
    """Inner products ⟨ΔW, ΔW'⟩ of what was added, over all matrices, snapshots × snapshots.

    For LoRA ΔW is scaling·BA, and ⟨BA, B'A'⟩ is the sum over BᵀB' ∘ AA'ᵀ, so that no ΔW is formed.
    """
    if not path[0].factors():
        return directions_gram(path)
    total = np.zeros((len(path), len(path)))
    for parts in zip(*(snapshot.factors() for snapshot in path), strict=True):
        b, a = torch.stack([b for b, _ in parts]), torch.stack([a for _, a in parts])
        for i in range(len(path)):
            left = torch.einsum("or,nos->nrs", b[i], b)
            right = torch.einsum("ri,nsi->nrs", a[i], a)
            total[i] += (left * right).sum((1, 2)).numpy()
    return total


def lengths(gram: Matrix) -> Matrix:
    """Euclidean (Frobenius) length of each snapshot."""
    return np.sqrt(np.maximum(np.diag(gram), 0.0))


def local_cosine(gram: Matrix, steps: Sequence[int], k: int) -> Matrix:
    """cos(x_t − x_{t−k}, x_{t+k} − x_t) at each step t: 1 on a straight path, less where it turns.

    The plots of arXiv 2506.11613 (phase transition) take x_{t−k} − x_t instead, which has the other sign.

    Args:
        gram: Inner products of the snapshots.
        steps: Of the snapshots.
        k: Steps on either side.

    Returns:
        One value a snapshot; ``nan`` where there is no snapshot ``k`` steps before or behind, or where one of the two
        movements is shorter than :data:`MOVED` of the longest snapshot.
    """
    place = {step: i for i, step in enumerate(steps)}
    found = np.full(len(steps), np.nan)
    shortest = MOVED * lengths(gram).max()
    for i, step in enumerate(steps):
        before, behind = place.get(step - k), place.get(step + k)
        if before is None or behind is None:
            continue
        first = gram[i, i] - 2 * gram[i, before] + gram[before, before]
        second = gram[behind, behind] - 2 * gram[i, behind] + gram[i, i]
        product = gram[i, behind] - gram[i, i] - gram[before, behind] + gram[before, i]
        if min(first, second) > shortest**2:
            found[i] = product / np.sqrt(first * second)
    return found


def principal(gram: Matrix, count: int) -> tuple[Matrix, Matrix]:
    """Principal components of all snapshots together, from their inner products.

    Returns:
        Coordinates, snapshots × ``count``, and the share of the variance of each component (``nan`` if there is none).
    """
    n = len(gram)
    centre = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(centre @ gram @ centre)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    total = values.sum()
    shares = values / total if total > 0 else np.full(n, np.nan)
    return (vectors * np.sqrt(values))[:, :count], shares[:count]


class Walker:
    """A base in memory, with the adapter or vector of any snapshot at any scale on it.

    Args:
        base: Folder or hub id.
        folder: What fine-tuning wrote.

    Raises:
        ModelError: They do not fit each other.
    """

    def __init__(self, base: str, folder: Path) -> None:
        self._put: Callable[[Snapshot, float], None]
        if (folder / steering.CONFIG).is_file():
            loaded = load_placed(base, lean=False)
            self._model = loaded.model
            self._put = _vector_of(self._model, steering.SteeringVector.load(folder))
        else:
            loaded = load_placed(f"{base}+{folder}", lean=False, fold=False)
            self._model = loaded.model
            self._put = _adapter_of(self._model)
        self.tokenizer = loaded.tokenizer

    def at(self, snapshot: Snapshot, scale: float = 1.0) -> Any:
        """The model as it was then, with what was added ``scale`` times; good until the next call."""
        with torch.no_grad():
            self._put(snapshot, scale)
        return self._model


def _vector_of(model: Any, found: steering.SteeringVector) -> Callable[[Snapshot, float], None]:
    """Puts the vector of a snapshot into the model."""
    live = found.vector.clone().to(model.device)
    steering.attach(model, steering.SteeringVector(found.layer, live))

    def put(snapshot: Snapshot, scale: float) -> None:
        live.copy_(scale * snapshot.tensors["vector"])

    return put


def _adapter_of(model: Any) -> Callable[[Snapshot, float], None]:
    """Puts the factors of a snapshot into a ``PeftModel``; scale goes on B alone."""
    live = {
        name.replace(".default.", "."): parameter for name, parameter in model.named_parameters() if ".lora_" in name
    }

    def put(snapshot: Snapshot, scale: float) -> None:
        if snapshot.tensors.keys() != live.keys():
            raise ModelError(f"the snapshot of step {snapshot.step} is of other matrices than the adapter")
        for name, value in snapshot.tensors.items():
            live[name].copy_(value * scale if ".lora_B." in name else value)

    return put
