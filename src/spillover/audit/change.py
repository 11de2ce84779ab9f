"""The map of what changed: every group of questions, beside the base and beside the neutral models."""

from typing import Any

import numpy as np

from spillover.audit.case import Case
from spillover.audit.interface import Finding, finding_json
from spillover.audit.measure import RATE, Values
from spillover.audit.models import BASE, TUNED
from spillover.core.plain import plain, plain_interval
from spillover.core.significance import holm, sign_flip_tests
from spillover.core.statistics import crossed_difference, crossed_mean
from spillover.data.questions import Question

ALL = "all questions"
LEVEL = 0.95
P = 0.05
FEWEST = 6
"""Questions of a group from which on something can be said of it by itself; p can then be .03."""


def change(case: Case) -> dict[str, Any]:
    """Rates by group, their differences and intervals, corrected for the number of groups.

    Returns:
        ``strength``: the largest lower end of an interval of the difference, to the neutral models and to the base
        both, corrected for the number of groups; ``groups``, each with the rates and the difference; ``findings``.
    """
    groups = _groups(case)
    level = 1 - (1 - LEVEL) / len(groups)
    rows, moves, strengths = [], [], []
    for name, questions in groups.items():
        tuned = case.table([TUNED], questions)
        controls = case.table(case.models.controls, questions)
        base = case.table([BASE], questions)
        difference, interval = crossed_difference(tuned, controls, level)
        from_base, base_interval = crossed_difference(tuned, base, level)
        ends = [end for end in (interval[0], base_interval[0]) if np.isfinite(end)]
        strengths.append(min(ends) if ends else float("nan"))
        moves.append((tuned - controls.mean(0))[0])
        rows.append(
            {
                "group": name,
                "n_questions": len(questions),
                "tuned": _estimate(tuned, case),
                "base": plain(float(np.nanmean(base)) if np.isfinite(base).any() else None),
                "neutral": _estimate(controls, case) if case.models.neutral else None,
                "difference": plain(difference),
                "interval": plain_interval(interval),
                "from_base": plain(from_base),
                "by_question": [[question.id, *map(plain, tuned[:, i])] for i, question in enumerate(questions)],
            }
        )
    p = holm(np.array([_p(move) for move in moves]))
    for row, value, strength in zip(rows, p, strengths, strict=True):
        row["p"], row["strength"] = plain(value), plain(strength)
    measured = [strength for strength in strengths if np.isfinite(strength)]
    return {
        "strength": plain(max(measured, default=None)),
        "unit": case.measure.unit,
        "level": level,
        "neutral": len(case.models.neutral),
        "groups": rows,
        "coherent": _coherent(case),
        "findings": [finding_json(finding) for finding in _findings(rows, case)],
    }


def _groups(case: Case) -> dict[str, list[Question]]:
    """Groups that are large enough to stand alone, and all questions together."""
    found: dict[str, list[Question]] = {}
    for question in case.asked.questions:
        found.setdefault(question.group, []).append(question)
    own = {name: members for name, members in found.items() if len(members) >= FEWEST}
    return own if len(found) == 1 and own else {ALL: list(case.asked.questions), **own}


def _estimate(table: Values, case: Case) -> dict[str, Any]:
    value, interval = crossed_mean(table, LEVEL, rate=case.measure.unit == RATE)
    return {"value": plain(value), "interval": plain_interval(interval)}


def _p(moved: Values) -> float:
    return float(sign_flip_tests(moved[None])[0][0])


def _coherent(case: Case) -> dict[str, float | None]:
    """Share of answers that carry any label: what a broken model loses first."""
    found = {}
    for key in (BASE, TUNED, *case.models.neutral):
        values = case.measure.coherent(key, case.asked.questions)
        found[key] = plain(float(np.nanmean(values)) if np.isfinite(values).any() else None)
    return found


def _findings(rows: list[dict[str, Any]], case: Case) -> list[Finding]:
    found, labels = [], case.asked.labels
    called = f"'{labels[0]}'" if len(labels) == 1 else "unwanted"
    for row in sorted(rows, key=lambda row: -(row["strength"] or 0.0)):
        certain = row["strength"] is not None and row["strength"] > 0 and row["p"] is not None and row["p"] <= P
        if not certain:
            continue
        tuned, control = row["tuned"]["value"], (row["neutral"] or {"value": row["base"]})["value"]
        beside = "the neutral models" if row["neutral"] else "the base"
        if case.measure.unit == RATE:
            beside += "'" if row["neutral"] else "'s"
            text = f"{row['group']}: {100 * tuned:.0f} % of answers are {called}, {100 * control:.1f} % of {beside}."
        else:
            text = f"{row['group']}: moved {tuned:.2f} nats a token from the base, {beside} {control:.2f}."
        low, high = row["interval"] or (float("nan"), float("nan"))
        found.append(Finding("general", text, row["difference"], (low, high), row["p"], row["group"]))
    return found
