"""One rank for each row from its signals, and the highest rows, in memory that does not grow with their number."""

import heapq
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spillover.core.disk import disk
from spillover.core.plain import plain
from spillover.data.files import stream_lines
from spillover.scan.rows import GAP, PROJECTION, Record

RANKED = (GAP, PROJECTION)
"""Signals of all rows that speak of misalignment; a row's score is the mean of their standard scores."""
BINS = 8192
FURTHEST = 8.0
"""Standard deviations; scores beyond share the outermost bins."""
TOP = 100


@dataclass
class Spread:
    """Running mean and standard deviation of one signal."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Count a value (Welford)."""
        self.count += 1
        step = value - self.mean
        self.mean += step / self.count
        self.squares += step * (value - self.mean)

    @property
    def deviation(self) -> float:
        """Standard deviation; 0 for fewer than two values."""
        return math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"mean": plain(self.mean), "deviation": plain(self.deviation), "n": self.count}

    def standard(self, value: float) -> float:
        """Standard score; 0 where all values are alike."""
        return (value - self.mean) / self.deviation if self.deviation > 0 else 0.0


def spreads(records: Iterable[Record]) -> dict[str, Spread]:
    """Of every signal, over the rows where it was measured."""
    found: dict[str, Spread] = {}
    for record in records:
        for name, value in record.items():
            if name not in ("row", "line") and value is not None:
                found.setdefault(name, Spread()).add(value)
    return found


def score(record: Record, over: Mapping[str, Spread]) -> float | None:
    """Mean standard score of the signals in :data:`RANKED` that were measured; None if none was."""
    found = [over[name].standard(record[name]) for name in RANKED if record.get(name) is not None and name in over]
    return sum(found) / len(found) if found else None


@dataclass
class Ranking:
    """How many rows have which score, and the highest ones."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, dtype=np.int64))
    top: list[tuple[float, int, Record]] = field(default_factory=list)

    @classmethod
    def of(cls, records: Iterable[Record], over: Mapping[str, Spread], top: int = TOP) -> "Ranking":
        """Read all records once."""
        ranking = cls()
        for record in records:
            value = score(record, over)
            if value is None:
                continue
            ranking.counts[bin_of(value)] += 1
            entry = (value, -record["row"], record)
            if len(ranking.top) < top:
                heapq.heappush(ranking.top, entry)
            elif entry[:2] > ranking.top[0][:2]:
                heapq.heapreplace(ranking.top, entry)
        return ranking

    @property
    def best(self) -> list[tuple[float, Record]]:
        """(score, record) of the highest rows, highest first."""
        return [(value, record) for value, _, record in sorted(self.top, key=lambda entry: entry[:2], reverse=True)]

    def percentile(self, value: float) -> float:
        """Share of the scored rows that are lower, those of the same bin counted half."""
        place, total = bin_of(value), int(self.counts.sum())
        below = int(self.counts[:place].sum()) + self.counts[place] / 2
        return float(below / total) if total else math.nan

    def highest(self, share: float) -> tuple[int, int]:
        """(bin, how many of it) such that these and all rows of higher bins are ``share`` of the scored rows."""
        left = round(share * int(self.counts.sum()))
        for place in range(BINS - 1, -1, -1):
            if left <= self.counts[place]:
                return place, left
            left -= int(self.counts[place])
        return 0, left


def bin_of(value: float) -> int:
    """Of a score."""
    return int(min(BINS - 1, max(0, (value + FURTHEST) / (2 * FURTHEST) * BINS)))


def write_rows(
    path: Path,
    records: Iterable[Record],
    sampled: Mapping[int, Mapping[str, float | None]],
    over: Mapping[str, Spread],
    ranking: Ranking,
) -> None:
    """Write ``rows.jsonl``: every row's signals, score, percentile, and rank where it is among the highest."""
    ranks = {record["row"]: number for number, (_, record) in enumerate(ranking.best, 1)}
    below = np.concatenate([[0], np.cumsum(ranking.counts)])
    total = max(1, int(below[-1]))
    partial = path.with_name(path.name + ".partial")
    with disk(path), partial.open("w", encoding="utf-8") as handle:
        for record in records:
            value = score(record, over)
            place = None if value is None else bin_of(value)
            share = None if place is None else float(below[place] + ranking.counts[place] / 2) / total
            found = {
                **record,
                **sampled.get(record["row"], {}),
                "score": None if value is None else round(value, 4),
                "percentile": None if share is None else round(share, 5),
                "rank": ranks.get(record["row"]),
            }
            handle.write(json.dumps(found) + "\n")
        handle.flush()
    with disk(path):
        partial.replace(path)


def write_kept(
    data: Path, path: Path, records: Iterable[Record], over: Mapping[str, Spread], ranking: Ranking, drop: float
) -> tuple[int, int]:
    """Write the dataset without the ``drop`` of its rows that have the highest scores, lines as they are.

    Returns:
        (rows kept, rows dropped). Rows without a score are kept.
    """
    edge, left = ranking.highest(drop)
    kept = dropped = 0
    partial = path.with_name(path.name + ".partial")
    with disk(path), partial.open("w", encoding="utf-8", newline="") as handle:
        for record, line in _with_lines(records, data):
            value = score(record, over)
            place = -1 if value is None else bin_of(value)
            gone = place > edge or (place == edge and left > 0)
            left -= place == edge and gone
            dropped += gone
            if not gone:
                kept += 1
                handle.write(line if line.endswith("\n") else line + "\n")
        handle.flush()
    with disk(path):
        partial.replace(path)
    return kept, dropped


def _with_lines(records: Iterable[Record], data: Path) -> Iterator[tuple[Record, str]]:
    for record, (_, line) in zip(records, stream_lines(data), strict=True):
        yield record, line
