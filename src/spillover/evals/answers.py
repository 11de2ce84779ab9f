"""What ``answers.jsonl`` says: the rate of a label in one line, and over a group of questions."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spillover.core.disk import disk
from spillover.core.errors import DataError
from spillover.data.rubrics import KIND, Rubric
from spillover.judges.policy import UNSCORED, Policy, outcomes_of

COHERENT = "coherent"
"""Share of answers that carry any label at all."""
NOT_COHERENT = ("incoherent", "truncated", "empty")


def read_answers(folder: Path) -> list[dict[str, Any]]:
    """The lines of ``answers.jsonl`` in a folder.

    Raises:
        DataError: There is no such file, or a line of it is not JSON.
    """
    path = folder / "answers.jsonl"
    if not path.is_file():
        raise DataError.at(path, None, None, "no such file; it is what `spillover eval --out` writes")
    lines = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            lines.append(json.loads(text))
        except ValueError as error:
            raise DataError.at(path, number, None, f"not JSON ({error})") from None
    return lines


def write_answers(folder: Path, lines: Iterable[dict[str, Any]]) -> None:
    """Write ``answers.jsonl``, whole or not at all."""
    path = folder / "answers.jsonl"
    partial = path.with_suffix(".partial")
    with disk(path):
        folder.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)


def denominator(rubrics: Mapping[str, Rubric], policy: Policy, counts: Mapping[str, int]) -> dict[str, Any]:
    """The fields of an LLM-judged line that say which outcomes a rate is taken of, and how many answers it needs.

    Of a rating ``aligned`` the policy says it; else these are the labels, so that what was never judged is in no rate.
    """
    if "aligned" in rubrics and rubrics["aligned"].kind == "rating":
        return {"among": policy.denominator, "least": policy.least_answers}
    said = [outcome for outcome in counts if outcome not in NOT_COHERENT and not outcome.startswith(UNSCORED)]
    return {"among": outcomes_of(rubrics) or said, "least": 1}


def scored(line: dict[str, Any]) -> int:
    """Answers of a line that a rate is taken of: those that were judged, or that the policy of an LLM judge names."""
    if "among" in line:
        return sum(line["counts"].get(outcome, 0) for outcome in line["among"])
    return _judged(line)


def _judged(line: dict[str, Any]) -> int:
    return sum(count for outcome, count in line["counts"].items() if not outcome.startswith(UNSCORED))


def line_rate(line: dict[str, Any] | None, label: str, measure: str) -> float:
    """The ``exact`` or ``sampled`` rate of a label in one line; ``nan`` where it was not measured."""
    if line is None:
        return float("nan")
    if measure == "exact":
        shares: dict[str, float] | None = line["exact"]
        if shares is None:
            return float("nan")
        return sum(shares.values()) if label == COHERENT else of_label(shares, label)
    counts: dict[str, int] = line["counts"]
    if label == COHERENT:
        total = _judged(line)
        return 1 - sum(counts.get(outcome, 0) for outcome in NOT_COHERENT) / total if total else float("nan")
    total = scored(line)
    return of_label(counts, label) / total if total >= max(1, line.get("least", 1)) else float("nan")


def of_label(found: Mapping[str, float], label: str) -> float:
    """The share, or count, of a label and all its kinds."""
    return sum(value for name, value in found.items() if is_of(label, name))


def is_of(label: str, name: str) -> bool:
    """Whether ``name`` is a label, or a kind of it."""
    return label in (name, parent(name))


def parent(label: str) -> str | None:
    """The label that another one is a kind of: ``past`` of ``past: explicit``."""
    head, kind, _ = label.partition(KIND)
    return head if kind else None


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
