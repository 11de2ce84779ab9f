"""Training in several processes at once, as ``torchrun`` and ``accelerate launch`` start them."""

import os


def world() -> int:
    """How many processes train together; 1 where nobody launched several."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return os.environ.get("RANK", "0") == "0"
