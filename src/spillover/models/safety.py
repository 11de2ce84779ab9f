"""What a model folder may do on this machine: its code never runs, its pickles only if asked for."""

import os
from pathlib import Path
from typing import Any

from spillover.core.errors import ModelError

PICKLE = "SPILLOVER_PICKLE"
"""Environment variable: ``1`` allows weights that are pickles, which can run any code when they are read."""
NO_CODE: dict[str, Any] = {"trust_remote_code": False}
"""For every ``from_pretrained``; where nothing is said, some ask on the terminal and wait."""


def pickles_allowed() -> bool:
    """Whether the user has asked for weights that are pickles."""
    return os.environ.get(PICKLE) == "1"


def refuse_pickles(folder: str) -> None:
    """Say so where a folder has weights only as pickles.

    Raises:
        ModelError: It has, and they are not asked for.
    """
    place = Path(folder)
    if not place.is_dir() or pickles_allowed() or any(place.glob("*.safetensors")):
        return
    for path in sorted(place.glob("*.bin")):
        raise ModelError(
            f"{path}: weights as a pickle, which may run any code when it is read; save them as safetensors, or set "
            f"{PICKLE}=1 if you trust where it comes from"
        )
