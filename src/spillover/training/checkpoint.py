"""Checkpoints: those of the lean loops, of which a kill never leaves half of one, and those of TRL's trainers."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

CHECKPOINT_SECONDS = 5.0


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replace the file at once by a new one."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def go_on_from_checkpoint(path: Path, row: Tensor, optimizer: Sequence[Tensor]) -> list[dict[str, Any]]:
    """Put back the weights and the optimizer's state that a killed run of a lean loop left in ``path``.

    Returns:
        Its records so far, one a step; none where there is no such file.
    """
    if not path.is_file():
        return []
    saved = torch.load(path, weights_only=True)
    row.copy_(saved["row"])
    for tensor, value in zip(optimizer, saved["optimizer"], strict=True):
        tensor.copy_(value)
    log: list[dict[str, Any]] = saved["log"]
    return log


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint that one of TRL's trainers wrote; None if there is none.

    The trainer's state is written last; what a kill left without it is passed over.
    """
    whole = (path.parent for path in folder.glob("checkpoint-*/trainer_state.json"))
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)
