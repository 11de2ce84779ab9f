"""What is said while something runs: a bar on a terminal, plain lines elsewhere; always on stderr."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

HEARTBEAT_SECONDS = 15.0


class Progress(Protocol):
    """Takes notes of how far several pieces of work are."""

    def update(self, label: str, done: float, total: float) -> None:
        """``label`` is ``done`` of ``total`` far."""

    def finish(self, label: str) -> None:
        """``label`` is over."""

    def say(self, line: str) -> None:
        """One line for the user."""


@contextmanager
def live(title: str, total: int) -> Iterator[Progress]:
    """Show ``total`` pieces of work: bars with time left on a terminal, a line each and a heartbeat otherwise."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(total)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, TimeElapsedColumn(), console=console, transient=True) as bars:
        yield _Bars(bars, bars.add_task(title, total=total))


class _Bars:
    def __init__(self, bars: object, main: object) -> None:
        from rich.progress import Progress as Bars
        from rich.progress import TaskID

        assert isinstance(bars, Bars)
        self._bars, self._main = bars, main
        self._tasks: dict[str, TaskID] = {}

    def update(self, label: str, done: float, total: float) -> None:
        if label not in self._tasks:
            self._tasks[label] = self._bars.add_task(f"  {label}")
        self._bars.update(self._tasks[label], completed=done, total=total)

    def finish(self, label: str) -> None:
        if label in self._tasks:
            self._bars.remove_task(self._tasks.pop(label))
        self._bars.advance(self._main)  # type: ignore[arg-type]

    def say(self, line: str) -> None:
        self._bars.console.print(line, highlight=False, markup=False)


class _Lines:
    def __init__(self, total: int) -> None:
        self._total = total
        self._finished = 0
        self._started: dict[str, float] = {}
        self._spoke = time.monotonic()

    def update(self, label: str, done: float, total: float) -> None:
        now = time.monotonic()
        self._started.setdefault(label, now)
        if now - self._spoke > HEARTBEAT_SECONDS:
            self.say(f"  {label}: {done:g} of {total:g} after {now - self._started[label]:.0f} s")

    def finish(self, label: str) -> None:
        self._finished += 1
        took = f" ({time.monotonic() - self._started.pop(label):.1f} s)" if label in self._started else ""
        self.say(f"[{self._finished}/{self._total}] {label}{took}")

    def say(self, line: str) -> None:
        import sys

        self._spoke = time.monotonic()
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
