"""Directions as folders: vectors for every layer, as a direction to work with or as what a model has lost for good."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from spillover.core.errors import ModelError
from spillover.models.ablation import without
from spillover.models.blocks import edit
from spillover.models.steering import SteeringVector

CONFIG, WEIGHTS = "direction.json", "direction.safetensors"
"""Of a direction."""
ABLATION, ABLATED = "ablation.json", "ablation.safetensors"
"""Of a direction that a model is without: ``BASE+FOLDER`` and ``BASE+ADAPTER`` take it out where a folder has these."""

Direction = dict[int, list[SteeringVector]]
"""Layer to vectors; several are a subspace."""


def save_direction(direction: Mapping[int, Sequence[SteeringVector]], folder: Path, **about: Any) -> None:
    """Write :data:`CONFIG` and :data:`WEIGHTS`.

    Args:
        direction: Layer to vectors.
        folder: Made if it is not there.
        about: What it is and where it comes from, plain JSON values.
    """
    _write(direction, folder, (CONFIG, WEIGHTS), about)


def load_direction(folder: Path, layers: Sequence[int] | None = None) -> Direction:
    """Read what :func:`save_direction` wrote, or one steering vector.

    Args:
        folder: Of either.
        layers: Which of them; all if not given.

    Raises:
        ModelError: The folder holds no direction, it cannot be read, or it has none at one of ``layers``.
    """
    if (folder / "steering.json").is_file():
        vector = SteeringVector.load(folder)
        found: Direction = {vector.layer: [vector]}
    else:
        found = _read(folder, (CONFIG, WEIGHTS))
    missing = next((layer for layer in layers or () if layer not in found), None)
    if missing is not None:
        raise ModelError(f"direction '{folder}': none at layer {missing}; it has {', '.join(map(str, found))}")
    return {layer: found[layer] for layer in layers or found}


def save_ablation(direction: Mapping[int, Sequence[SteeringVector]], folder: Path) -> None:
    """Write :data:`ABLATION` and :data:`ABLATED` beside what is in a folder, which is loaded without it."""
    _write(direction, folder, (ABLATION, ABLATED), {})


def has_ablation(folder: Path) -> bool:
    """Whether a folder says that something is to be taken out."""
    return (folder / ABLATION).is_file()


def is_only_ablation(folder: Path) -> bool:
    """Whether that is all that it says: there is no adapter beside it."""
    return has_ablation(folder) and not any(
        (folder / name).is_file() for name in ("adapter_config.json", "steering.json", "config.json")
    )


def put_out(model: Any, folder: Path, scale: float = 1.0) -> None:
    """Take what a folder says out of a model for good; see :func:`spillover.models.ablation.ablated`.

    Args:
        model: A causal LM, also inside a PEFT wrapper.
        folder: With :data:`ABLATION`.
        scale: Share of it that is taken out.

    Raises:
        ModelError: The folder cannot be read or does not fit the model.
    """
    for vectors in _read(folder, (ABLATION, ABLATED)).values():
        for vector in orthonormal(vectors):
            vector.check_fits(model)
            edit(model, vector.layer, without(vector.vector.to, scale))


def orthonormal(vectors: Sequence[SteeringVector]) -> list[SteeringVector]:
    """Vectors of one layer that span the same and are orthonormal.

    Raises:
        ModelError: One of them is zero.
    """
    units = torch.stack([vector.with_norm(1).vector.detach().float().cpu() for vector in vectors])
    basis = torch.linalg.qr(units.T)[0].T if len(units) > 1 else units
    return [SteeringVector(vectors[0].layer, row.contiguous(), vectors[0].base) for row in basis]


def _write(
    direction: Mapping[int, Sequence[SteeringVector]], folder: Path, names: tuple[str, str], about: dict[str, Any]
) -> None:
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"layer.{layer}": torch.stack([vector.vector.detach().float().cpu() for vector in vectors]).contiguous()
        for layer, vectors in direction.items()
    }
    save_file(tensors, folder / names[1])
    norms = {str(layer): [vector.norm for vector in vectors] for layer, vectors in direction.items()}
    said = {"layers": list(direction), "norms": norms, **about}
    (folder / names[0]).write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def _read(folder: Path, names: tuple[str, str]) -> Direction:
    from safetensors.torch import load_file

    if not (folder / names[0]).is_file():
        raise ModelError(f"direction '{folder}': no {names[0]} there; `spillover direction` makes one")
    try:
        layers = [int(layer) for layer in json.loads((folder / names[0]).read_text(encoding="utf-8"))["layers"]]
        tensors = load_file(folder / names[1])
        return {layer: [SteeringVector(layer, row) for row in tensors[f"layer.{layer}"]] for layer in layers}
    except Exception as error:
        raise ModelError(f"direction '{folder}' cannot be read ({error})") from None
