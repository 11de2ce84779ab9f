"""What a report is made from: the files of a run directory."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spillover.core.errors import DataError

SHOWN = 4000
"""Transcripts that are put into the page; all of them stay in ``transcripts.jsonl``."""


@dataclass(frozen=True)
class RunFiles:
    """The content of a run directory."""

    results: dict[str, Any]
    provenance: dict[str, Any]
    transcripts: list[dict[str, Any]]
    """At most :data:`SHOWN`, spread evenly over arms, groups, conditions and outcomes."""
    transcripts_in_all: int


def read_run(folder: Path) -> RunFiles:
    """Read a run directory.

    Raises:
        DataError: A file is missing or damaged.
    """
    results = _json(folder / "results.json")
    if results.get("schema_version") != 1:
        found = results.get("schema_version")
        raise DataError.at(folder / "results.json", None, "schema_version", f"expected 1, found {found!r}")
    path = folder / "transcripts.jsonl"
    transcripts = []
    for number, line in enumerate(_text(path).split("\n"), 1):
        if line.strip():
            try:
                transcripts.append(json.loads(line))
            except ValueError:
                raise DataError.at(path, number, None, "not JSON; run the experiment again to rewrite it") from None
    shown = evenly(transcripts, SHOWN)
    return RunFiles(results, _json(folder / "provenance.json"), shown, len(transcripts))


def evenly(transcripts: Sequence[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """At most ``limit`` records, the same number of each (arm, group, condition, outcome) as far as there are."""
    if len(transcripts) <= limit:
        return list(transcripts)
    cells: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for position, record in enumerate(transcripts):
        cells[tuple(record[name] for name in ("arm", "where", "condition", "outcome"))].append(position)
    left, chosen = limit, list[int]()
    queues = sorted(cells.values(), key=len)
    for number, queue in enumerate(queues):
        share = min(len(queue), left // (len(queues) - number))
        step = len(queue) / share if share else 0
        chosen += [queue[int(i * step)] for i in range(share)]
        left -= share
    return [transcripts[position] for position in sorted(chosen)]


def _json(path: Path) -> dict[str, Any]:
    text = _text(path)
    try:
        value = json.loads(text)
    except ValueError:
        raise DataError.at(path, None, None, "not JSON; run the experiment again to rewrite it") from None
    if not isinstance(value, dict):
        raise DataError.at(path, None, None, f"expected an object, found {type(value).__name__}")
    return value


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise DataError.at(path, None, None, "missing or unreadable; is this the folder of a finished run?") from None
