"""Where a model runs and in which dtype: the one place that decides it, with the reason."""

import math
from dataclasses import dataclass
from pathlib import Path

LARGE = 1_000_000_000
"""Parameters from which on half precision is worth its rounding on a GPU."""


@dataclass(frozen=True)
class Placement:
    """Device and dtype of a model that is asked, and why."""

    device: str
    dtype: str
    reason: str

    def __str__(self) -> str:
        return f"{self.device}, {self.dtype}: {self.reason}"


def placement(base: str) -> Placement:
    """For a model that is asked or judges. Training decides by itself: float32 weights, bfloat16 products on a GPU.

    Args:
        base: Folder or hub id; of the latter the size is not known before it is loaded, and it counts as large.
    """
    import torch

    if not torch.cuda.is_available():
        return Placement("cpu", "float32", "no GPU here")
    count = parameters(Path(base))
    if count and count < LARGE:
        return Placement("cuda", "float32", f"{count / 1e6:,.0f} M parameters, so rounding is kept small")
    size = f"{count / 1e9:.1f} G parameters" if count else "size not known"
    if torch.cuda.is_bf16_supported():
        return Placement("cuda", "bfloat16", f"{size}; half the memory and time of float32")
    return Placement("cuda", "float16", f"{size}; this GPU has no bfloat16")


def parameters(base: Path) -> int:
    """Of a local folder, from the headers of its safetensors files; 0 where there are none."""
    from safetensors import safe_open

    total = 0
    for file in base.glob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            total += sum(math.prod(tensors.get_slice(key).get_shape()) for key in tensors.keys())  # noqa: SIM118
    return total
