"""The cores of this process, and how many threads compute on them.

The number of threads is part of a result: sums are cut into as many parts, and rounded accordingly.
"""

import os
from collections.abc import Sequence


def cores() -> list[int | None]:
    """The cores this process may use; their numbers are None where the system has no affinity."""
    if hasattr(os, "sched_getaffinity"):
        return [*sorted(os.sched_getaffinity(0))]
    return [None] * (os.cpu_count() or 1)


def use_cores(chosen: Sequence[int | None]) -> None:
    """Compute with a thread for each of ``chosen``, pinned to them where they have numbers."""
    numbers = {core for core in chosen if core is not None}
    if numbers:
        os.sched_setaffinity(0, numbers)
    use_threads(len(chosen))


def use_threads(count: int) -> None:
    """Compute with ``count`` threads, wherever the system puts them."""
    import torch

    torch.set_num_threads(count)


def wait_lightly() -> None:
    """Let a thread that waits give its core to other programs sooner; to be called before torch is imported.

    Beside a program that takes both cores, a step takes 75 ms instead of 120 (docs/log.md).
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
