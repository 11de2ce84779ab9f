"""Verdicts that were paid for, kept for ever: per judge, settings, rubric, question and answer."""

import json
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from spillover.core.config import digest
from spillover.core.errors import StorageError
from spillover.judges.verdicts import Verdict


class VerdictCache:
    """A file that several processes may use at a time; a verdict is there as soon as :meth:`put` returns.

    Failures are never kept.

    Args:
        path: By default ``verdicts.sqlite`` in ``$SPILLOVER_HOME``, else in ``~/.cache/spillover``.

    Raises:
        StorageError: The file cannot be read or written.
    """

    def __init__(self, path: Path | None = None) -> None:
        home = Path(os.environ.get("SPILLOVER_HOME") or Path.home() / ".cache" / "spillover")
        self._path = path or home / "verdicts.sqlite"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(self._path, timeout=60, isolation_level=None)
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute("PRAGMA synchronous=NORMAL")
            self._file.execute("CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, verdict TEXT NOT NULL)")
        except (OSError, sqlite3.Error) as error:
            raise self._problem(error) from None

    def get(self, keys: Iterable[str]) -> dict[str, Verdict]:
        """The verdicts that are known, by key."""
        found = {}
        try:
            for key in keys:
                row = self._file.execute("SELECT verdict FROM verdicts WHERE key = ?", (key,)).fetchone()
                if row:
                    found[key] = Verdict(**json.loads(row[0]))
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise self._problem(error) from None
        return found

    def put(self, key: str, verdict: Verdict) -> None:
        """Keep a verdict."""
        assert not verdict.failed
        try:
            self._file.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", (key, json.dumps(asdict(verdict))))
        except sqlite3.Error as error:
            raise self._problem(error) from None

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _problem(self, error: Exception) -> StorageError:
        return StorageError(f"{self._path}: the verdicts there cannot be used ({error}); move the file away")


def verdict_key(judge: str, settings: object, rubric: str, question: str | None, answer: str) -> str:
    """What a verdict depends on; ``question`` is None where the rubric does not show it to the judge."""
    return digest([judge, settings, rubric, question, answer])
