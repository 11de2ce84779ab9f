"""What ``answers.jsonl`` says: the rate of a label in one line, and over a group of questions."""

import json
from pathlib import Path
from typing import Any

import numpy as np

COHERENT = "coherent"
"""Share of answers that carry any label at all."""
UNSCORED = ("unscored",)
NOT_COHERENT = ("incoherent", "truncated", "empty")


def scored(line: dict[str, Any]) -> int:
    """Answers of a line that were judged."""
    return sum(count for outcome, count in line["counts"].items() if outcome not in UNSCORED)


def line_rate(line: dict[str, Any] | None, label: str, measure: str) -> float:
    """The ``exact`` or ``sampled`` rate of a label in one line; ``nan`` where it was not measured."""
    if line is None:
        return float("nan")
    if measure == "exact":
        shares: dict[str, float] | None = line["exact"]
        if shares is None:
            return float("nan")
        return sum(shares.values()) if label == COHERENT else shares.get(label, 0.0)
    counts: dict[str, int] = line["counts"]
    total = scored(line)
    if not total:
        return float("nan")
    if label == COHERENT:
        return 1 - sum(counts.get(outcome, 0) for outcome in NOT_COHERENT) / total
    return counts.get(label, 0) / total


def group_rates(folder: Path, label: str) -> dict[str, float | None]:
    """Mean rate of a label over the plain questions of each group, exact where there is one; None if not measured."""
    found: dict[str, list[float]] = {}
    with (folder / "answers.jsonl").open(encoding="utf-8") as handle:
        for line in map(json.loads, handle):
            if line["condition"] == "plain":
                exact = line_rate(line, label, "exact")
                value = exact if np.isfinite(exact) else line_rate(line, label, "sampled")
                found.setdefault(line["group"], []).append(value)
    means = {group: np.nanmean(values) if np.isfinite(values).any() else None for group, values in found.items()}
    return {group: None if mean is None else float(mean) for group, mean in means.items()}
