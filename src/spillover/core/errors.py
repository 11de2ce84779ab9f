"""Errors a user can fix. Each says what is wrong, where, and what to do; the CLI prints it and exits 2.

To add one: subclass :class:`SpilloverError` and the standard-library exception it is a kind of.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path


class SpilloverError(Exception):
    """Something the user can put right. Shown without a traceback; exit code 2."""


class ConfigError(SpilloverError, ValueError):
    """A knob, option or config field is unknown or out of range."""


class DataError(SpilloverError, ValueError):
    """A data file cannot be used. The message starts with ``file:line: field:`` where these are known."""

    @classmethod
    def at(cls, path: str | Path, line: int | None, field: str | None, what: str) -> "DataError":
        """Build the message ``path:line: field: what`` from the parts that are known."""
        where = f"{path}:{line}" if line is not None else f"{path}"
        return cls(": ".join(part for part in (where, field, what) if part))


class ModelError(SpilloverError, ValueError):
    """A base, adapter or model name cannot be loaded or does not fit."""


class TrainingError(SpilloverError, ArithmeticError):
    """Training went wrong in a way that other hyperparameters would avoid."""


class StorageError(SpilloverError, OSError):
    """Output cannot be written: disk full, read-only, no permission."""


def nearest(name: str, known: Iterable[str]) -> str:
    """``" (did you mean 'x'?)"`` for the closest known name, or the list of known names."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f" (did you mean '{close[0]}'?)"
    return f" (known: {', '.join(sorted(known))})" if known else ""
