"""What a check says: how many rows, which ones for example, and what it means in plain words."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

SHOWN = 3
"""Examples of each finding."""
CHARACTERS = 160
"""Of an example."""


@dataclass(frozen=True)
class Row:
    """What a check sees of a row: its last user turn and its last assistant turn."""

    line: int
    prompt: str
    answer: str
    system: str | None = None


@dataclass(frozen=True)
class Example:
    """A row that shows a finding."""

    line: int
    text: str

    @classmethod
    def of(cls, line: int, text: str) -> "Example":
        """The beginning of a text, on one line."""
        flat = " ".join(text.split())
        return cls(line, flat if len(flat) <= CHARACTERS else flat[: CHARACTERS - 1] + "…")


@dataclass(frozen=True)
class Finding:
    """One thing that a user should know before training."""

    check: str
    severity: str
    """``warning``: look at it before training. ``note``: good to know."""
    rows: int
    total: int
    what: str
    """In plain words: what was found, and why it matters."""
    examples: tuple[Example, ...] = field(default_factory=tuple)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "examples": [asdict(example) for example in self.examples]}


class Check(Protocol):
    """Sees every row once."""

    def add(self, row: Row) -> None:
        """Look at one row."""

    def findings(self, total: int) -> Iterator[Finding]:
        """What was found in ``total`` rows."""
