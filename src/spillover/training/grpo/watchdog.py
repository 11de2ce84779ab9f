"""Ends a training that stands still: a server that never answers, a sandbox that hangs, a deadlock."""

import faulthandler
import os
import sys
import threading
from pathlib import Path
from types import TracebackType

STALLED = "stalled.txt"


class Watchdog:
    """Ends the process, with the stacks of its threads in ``stalled.txt``, when nothing was said for too long.

    Args:
        folder: Of the run.
        minutes: Longest silence.
    """

    def __init__(self, folder: Path, minutes: float) -> None:
        self._folder, self._minutes = folder, minutes
        self._timer: threading.Timer | None = None

    def __enter__(self) -> "Watchdog":
        self.alive(0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer:
            self._timer.cancel()

    def alive(self, step: int) -> None:
        """Something was done: start to wait anew."""
        if self._timer:
            self._timer.cancel()
        self._timer = threading.Timer(60 * self._minutes, self._end, (step,))
        self._timer.daemon = True
        self._timer.start()

    def _end(self, step: int) -> None:
        path = self._folder / STALLED
        with path.open("w", encoding="utf-8") as handle:
            faulthandler.dump_traceback(handle)
        message = f"step {step} stands still for {self._minutes:g} minutes; where is in {path}; run again to go on"
        sys.stderr.write(message + "\n")
        sys.stderr.flush()
        os._exit(3)
