"""Checkpoints of the lean loops: how often, and written so that a kill never leaves half of one."""

import os
from pathlib import Path
from typing import Any

import torch

CHECKPOINT_SECONDS = 5.0


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replace the file at once by a new one."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)
