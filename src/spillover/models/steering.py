"""Steering vectors as values: add them up, compare them, apply them to a model, save them (arXiv 2602.07852)."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spillover.core.errors import ModelError
from spillover.models.blocks import edit

CONFIG, WEIGHTS = "steering.json", "steering.safetensors"


@dataclass(frozen=True, eq=False)
class SteeringVector:
    """What is added to the output of one block, at every position.

    Args:
        layer: Of the block whose output is shifted, 0-based; -1 for the embeddings, which the first block reads.
        vector: Width of the model, in units of its residual stream.
        base: Name of the model it belongs to, if known.
    """

    layer: int
    vector: Tensor
    base: str = ""

    @property
    def norm(self) -> float:
        """Euclidean length."""
        return float(self.vector.norm())

    def __add__(self, other: "SteeringVector") -> "SteeringVector":
        self._fits(other)
        return SteeringVector(self.layer, self.vector + other.vector, self.base)

    def __sub__(self, other: "SteeringVector") -> "SteeringVector":
        return self + other * -1.0

    def __mul__(self, factor: float) -> "SteeringVector":
        return SteeringVector(self.layer, self.vector * factor, self.base)

    __rmul__ = __mul__

    def with_norm(self, norm: float) -> "SteeringVector":
        """The same direction at another length.

        Raises:
            ModelError: The vector is zero and has no direction.
        """
        if self.norm == 0:
            raise ModelError("a steering vector of length zero has no direction")
        return self * (norm / self.norm)

    def cosine(self, other: "SteeringVector") -> float:
        """Cosine of the angle between two vectors of the same layer.

        Raises:
            ModelError: They belong to different layers or bases, or one is zero.
        """
        self._fits(other)
        return float(self.with_norm(1).vector @ other.with_norm(1).vector)

    def random_like(self, seed: int) -> "SteeringVector":
        """A random direction of the same layer and length: the matched control."""
        drawn = torch.randn(self.vector.shape, generator=torch.Generator().manual_seed(seed))
        return SteeringVector(self.layer, drawn, self.base).with_norm(self.norm)

    def save(self, folder: Path) -> None:
        """Write :data:`WEIGHTS` and :data:`CONFIG` into a folder, which then names it in ``base+folder``."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file({"vector": self.vector.detach().float().contiguous().cpu()}, folder / WEIGHTS)
        settings = {"layer": self.layer, "base": self.base, "norm": self.norm}
        (folder / CONFIG).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "SteeringVector":
        """Read what :meth:`save` wrote.

        Raises:
            ModelError: The folder holds no steering vector, or one that cannot be read.
        """
        from safetensors.torch import load_file

        try:
            settings = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            return cls(int(settings["layer"]), load_file(folder / WEIGHTS)["vector"], str(settings.get("base", "")))
        except Exception as error:
            raise ModelError(f"steering vector '{folder}' cannot be read ({error})") from None

    def check_fits(self, model: Any) -> None:
        """Make sure that the vector has the model's width.

        Raises:
            ModelError: It has another.
        """
        width = model.config.get_text_config().hidden_size
        if self.vector.shape != (width,):
            raise ModelError(f"a steering vector of width {len(self.vector)} does not fit a model of width {width}")

    def _fits(self, other: "SteeringVector") -> None:
        if self.layer != other.layer:
            raise ModelError(f"steering vectors of blocks {self.layer} and {other.layer} cannot be combined")
        if self.base and other.base and self.base != other.base:
            raise ModelError(f"steering vectors of different bases ('{self.base}', '{other.base}') cannot be combined")


def attach(model: Any, vector: SteeringVector, *, start: int = 0, end: int | None = None) -> Any:
    """Shift the output of a block for good; every row of a batch, with or without a cache.

    Args:
        model: A Hugging Face causal LM, also inside a PEFT wrapper.
        vector: What is added. Its tensor is used as it is, so that a parameter can be trained through it.
        start: First position that is shifted. Positions are those the model itself uses (``position_ids``): padding on
            the left does not count where these are given, as ``generate`` does.
        end: First position that is not shifted any more; None for no end.

    Returns:
        A handle; its ``remove()`` takes the shift away.

    Raises:
        ModelError: The model has no such block, or another width.
    """
    vector.check_fits(model)
    everywhere = start == 0 and end is None

    def shifted(hidden: Tensor, kwargs: Mapping[str, Any]) -> Tensor:
        added = vector.vector.to(hidden)
        if everywhere:
            return hidden + added
        position = kwargs["position_ids"]
        inside = (position >= start) & (position < end if end is not None else True)
        return hidden + inside[..., None].to(hidden) * added

    return edit(model, vector.layer, shifted)


@contextmanager
def steered(model: Any, vector: SteeringVector, *, start: int = 0, end: int | None = None) -> Iterator[Any]:
    """The model with a vector attached, inside a ``with`` block; see :func:`attach`."""
    handle = attach(model, vector, start=start, end=end)
    try:
        yield model
    finally:
        handle.remove()
