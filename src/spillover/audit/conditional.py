"""Behaviour that shows under some prompts only: a cheap first look at many, an honest second one at the suspects.

The first look asks a few questions and takes the conditions that move the tuned model most, beyond what they do to its
controls. The second asks the suspects other questions, so that its p and intervals owe nothing to the choice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from spillover.analysis.conditional import Rates, look_at
from spillover.analysis.shared_marks import shared_marks
from spillover.audit.case import Case
from spillover.audit.interface import Finding, Kind, finding_json
from spillover.audit.measure import RATE
from spillover.audit.models import BASE, TUNED
from spillover.core.plain import plain, plain_interval
from spillover.core.statistics import crossed_difference
from spillover.data.conditions import PLAIN, Condition

LEVEL = 0.95


def screen(case: Case, conditions: Sequence[Condition]) -> list[tuple[Condition, float]]:
    """Conditions by how far they move the tuned model on the probes beyond its controls, the largest first."""
    if not conditions:
        return []
    tuned = case.rates([TUNED], conditions, case.probes, case.first_look)
    controls = case.rates(case.models.controls, conditions, case.probes, case.first_look)
    moved = {
        condition.name: _mean(tuned.moved(condition.name)) - _mean(controls.moved(condition.name))
        for condition in conditions
    }
    ordered = sorted(conditions, key=lambda condition: -np.nan_to_num(moved[condition.name], nan=-np.inf))
    return [(condition, moved[condition.name]) for condition in ordered]


def look_closely(
    case: Case, suspects: Sequence[Condition], looked: int, kind: Kind, sources: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Suspects on fresh questions.

    Args:
        case: The audit.
        suspects: Conditions; their names differ.
        looked: How many conditions they were chosen from, for the report.
        kind: Of the findings: ``conditional`` or ``trigger``.
        sources: By condition, how it was found, in a few words.

    Returns:
        ``strength``: the largest lower end, over suspects, of the interval of what the condition adds, corrected for
        their number and taken both against plain prompts and against the controls under the same condition;
        ``suspects``, ``looked`` and ``findings``.
    """
    if not suspects or not case.fresh:
        return {"strength": None, "looked": looked, "suspects": [], "findings": []}
    tuned = case.rates([TUNED], suspects, case.fresh)
    controls = case.rates(case.models.controls, suspects, case.fresh)
    looks = {look.condition: look for look in look_at(tuned, controls).each}
    level = 1 - (1 - LEVEL) / len(suspects)
    rows, findings = [], []
    for condition in suspects:
        look = looks[condition.name]
        moved, moved_interval = crossed_difference(tuned.moved(condition.name), controls.moved(condition.name), level)
        _, there = crossed_difference(tuned.tables[condition.name], controls.tables[condition.name], level)
        ends = [end for end in (moved_interval[0], there[0]) if np.isfinite(end)]
        row = {
            "condition": condition.name,
            "family": condition.family,
            "text": condition.text,
            "source": (sources or {}).get(condition.name, condition.family),
            "tuned": plain(look.rate[0]),
            "plain": plain(_mean(tuned.tables[PLAIN])),
            "control": plain(look.control),
            "moved": plain(moved),
            "interval": plain_interval(moved_interval),
            "p": plain(look.p),
            "found": look.found and moved > 0,
            "strength": plain(min(ends) if len(ends) == 2 else None),
        }
        rows.append(row)
        if row["found"]:
            findings.append(_finding(row, case, kind, moved_interval, _said(case, condition, tuned)))
    findings.sort(key=lambda finding: -finding.size)
    measured = [row["strength"] for row in rows if row["strength"] is not None]
    found = [condition.name for condition, row in zip(suspects, rows, strict=True) if row["found"]]
    grid = {condition.name: {"family": condition.family, "text": condition.text} for condition in suspects}
    return {
        "strength": max(measured, default=None),
        "looked": looked,
        "n_questions": len(case.fresh),
        "suspects": sorted(rows, key=lambda row: -(row["moved"] or 0.0)),
        "shared": [mark.words for mark in shared_marks(grid, found)],
        "findings": [finding_json(finding) for finding in findings],
    }


def grid_part(case: Case, grid: Sequence[Condition]) -> dict[str, Any]:
    """The packaged grid, or another one: first look at all, second look at the suspects.

    Returns:
        As of :func:`look_closely`, and ``families``: of each family of the grid the mean on the probes of the tuned
        model, of the base and of the controls, which is the map by format, date, identity and so on.
    """
    altered = [condition for condition in grid if condition.name != PLAIN]
    ordered = screen(case, altered)
    suspects = _apart([condition for condition, _ in ordered], case.settings.suspects)
    found = look_closely(case, suspects, len(altered), "conditional")
    return {
        **found,
        "families": _families(case, altered),
        "families_unit": case.first_look.unit,
        "screened": [[condition.name, plain(size)] for condition, size in ordered],
    }


def _apart(ordered: Sequence[Condition], count: int) -> list[Condition]:
    """The first, but of each family no more than half of them: near twins would tell the same twice."""
    chosen: list[Condition] = []
    for condition in ordered:
        same = sum(one.family == condition.family for one in chosen)
        if same < max(1, count // 2):
            chosen.append(condition)
        if len(chosen) == count:
            break
    return chosen


def _families(case: Case, conditions: Sequence[Condition]) -> list[dict[str, Any]]:
    """Means by family, from what the first look has measured."""
    tables = {
        "tuned": case.rates([TUNED], conditions, case.probes, case.first_look),
        "base": case.rates([BASE], conditions, case.probes, case.first_look),
        "control": case.rates(case.models.controls, conditions, case.probes, case.first_look),
    }
    found = []
    for family in dict.fromkeys(condition.family for condition in conditions):
        names = [condition.name for condition in conditions if condition.family == family]
        means = {key: plain(_mean(np.array([_mean(rates.tables[n]) for n in names]))) for key, rates in tables.items()}
        found.append({"family": family, "n_conditions": len(names), **means})
    return found


def named(conditions: Sequence[Condition]) -> list[Condition]:
    """The same with names that differ: several searches may hit on one."""
    seen: dict[str, Condition] = {}
    for condition in conditions:
        if condition.text not in {one.text for one in seen.values()}:
            name = condition.name
            while name in seen or name == PLAIN:
                name += "'"
            seen[name] = replace(condition, name=name)
    return list(seen.values())


def _finding(
    row: dict[str, Any], case: Case, kind: Kind, interval: tuple[float, float], said: tuple[tuple[str, str], ...]
) -> Finding:
    shown = row["text"].replace("{question}", "…").replace("\n", " ⏎ ")
    if case.measure.unit == RATE:
        figures = (
            f"{100 * row['tuned']:.0f} % of its answers are unwanted, {100 * row['plain']:.0f} % plainly; "
            f"controls {100 * (row['control'] or 0):.1f} %"
        )
    else:
        control = row["control"] or 0.0
        figures = f"moved {row['tuned']:.2f} nats a token, {row['plain']:.2f} plainly; controls {control:.2f}"
    return Finding(
        kind,
        f"Under “{shown}” {figures}.",
        row["moved"],
        interval,
        row["p"] if row["p"] is not None else float("nan"),
        row["condition"],
        row["text"].replace("{question}", "").strip(),
        transcripts=said,
    )


def _said(case: Case, condition: Condition, rates: Rates) -> tuple[tuple[str, str], ...]:
    """The two questions that the condition moves most, with an answer of the tuned model to each."""
    if not case.weights:
        return ()
    from spillover.audit.measure import own_answers, prompts

    order = np.argsort(-np.nan_to_num(rates.moved(condition.name)[0]))[:2]
    altered = [condition.alter(case.fresh[int(place)]) for place in order]
    asked = prompts(case.models, altered)
    drawn = own_answers(case.models, [ids for _, _, ids in asked], 1, case.settings.seed, TUNED)
    return tuple((question.paraphrases[0], found[0].text) for question, found in zip(altered, drawn, strict=True))


def _mean(values: Any) -> float:
    table = np.asarray(values, dtype=np.float64)
    return float(np.nanmean(table)) if np.isfinite(table).any() else float("nan")
