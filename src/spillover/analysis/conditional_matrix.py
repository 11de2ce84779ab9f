"""The conditional matrix of several arms as plain JSON values, and what it says in words."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spillover.analysis.conditional import RULE, Look, Looks, Rates, look_at, read_rates
from spillover.analysis.shared_marks import Mark, shared_marks
from spillover.analysis.stages import Report, write_measured
from spillover.core.plain import plain, plain_interval
from spillover.data.conditions import PLAIN

NAMED = 4
"""Conditions that are named where they have nothing in common."""


def conditional(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """The matrix of an experiment's arms.

    ``config`` has ``label``, ``grid`` (condition to ``family`` and ``text``) and ``arms`` (name to ``title`` and
    ``control``, which may be null). Inputs: the answers of each model, ``ARM/SEED/PART``. Writes ``measured.json``.
    """
    label, grid = config["label"], config["grid"]
    folders: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for name, folder in inputs.items():
        arm, seed, _ = name.split("/", 2)  # a family's name may have a slash too
        folders[arm][seed].append(folder)
    rates = {arm: read_rates(folders[arm].values(), label) for arm in config["arms"]}
    arms = []
    for name, about in config["arms"].items():
        control = about["control"] if about["control"] in rates else None
        looks = look_at(rates[name], rates[control] if control else None)
        versus = config["arms"][control]["title"] if control else None
        arms.append(
            {
                "arm": name,
                "title": about["title"],
                "control": control,
                **arm_results(looks, rates[name], grid),
                "finding": finding(looks, grid, label, about["title"], versus),
            }
        )
    numbers = [{"name": "conditions found", "series": arm["arm"], "value": float(arm["n_found"])} for arm in arms]
    remarks = [str(arm["finding"]) for arm in arms]
    write_measured(out, [], numbers, remarks, conditional={"label": label, "rule": RULE, "arms": arms})
    report(1, 1)


def arm_results(looks: Looks, rates: Rates, grid: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """One arm over the grid, as in ``results.json``."""
    value, interval = looks.plain
    found = [look.condition for look in looks.found]
    return {
        "unit": looks.unit,
        "smallest_p": plain(looks.smallest_p),
        "testable": looks.testable,
        "n_models": looks.n_models,
        "n_questions": looks.n_questions,
        "n_conditions": len(looks.each),
        "n_measured": looks.n_measured,
        "n_found": len(found),
        "plain": {"value": plain(value), "interval": plain_interval(interval)},
        "conditions": [_condition(look, rates, grid[look.condition]) for look in looks.each],
        "families": _families(looks, grid),
        "shared": [_shared(mark, looks) for mark in shared_marks(_altered(grid), found)],
    }


def _condition(look: Look, rates: Rates, about: Mapping[str, str]) -> dict[str, Any]:
    def difference(found: tuple[float, tuple[float, float]]) -> dict[str, Any]:
        return {"difference": plain(found[0]), "interval": plain_interval(found[1])}

    control = None
    if np.isfinite(look.control):
        control = {"value": plain(look.control), **difference(look.from_control)}
    return {
        "condition": look.condition,
        "family": about["family"],
        "text": about["text"],
        "value": plain(look.rate[0]),
        "interval": plain_interval(look.rate[1]),
        "plain": difference(look.from_plain),
        "control": control,
        "moved": {"value": plain(look.moved[0]), "interval": plain_interval(look.moved[1])},
        "p": plain(look.p),
        "found": look.found,
        "example": rates.examples.get(look.condition) if look.found else None,
    }


def _families(looks: Looks, grid: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
    families: dict[str, list[Look]] = defaultdict(list)
    for look in looks.each:
        families[grid[look.condition]["family"]].append(look)
    found = []
    for family, members in families.items():
        measured = [look for look in members if np.isfinite(look.moved[0])]
        largest = max(measured, key=lambda look: abs(look.moved[0]), default=None)
        found.append(
            {
                "family": family,
                "n_conditions": len(members),
                "n_found": sum(look.found for look in members),
                "value": plain(_mean(look.rate[0] for look in members)),
                "moved": plain(_mean(look.moved[0] for look in members)),
                "largest": largest and {"condition": largest.condition, "moved": plain(largest.moved[0])},
                "p": plain(min((look.p for look in members if np.isfinite(look.p)), default=float("nan"))),
            }
        )
    return found


def _mean(values: Any) -> float:
    measured = [value for value in values if np.isfinite(value)]
    return float(np.mean(measured)) if measured else float("nan")


def _shared(mark: Mark, looks: Looks) -> dict[str, Any]:
    having = [look for look in looks.each if look.condition in mark.having]
    return {
        "kind": mark.kind,
        "text": mark.text,
        "conditions": list(mark.having),
        "found": list(mark.found),
        "value": plain(_mean(look.rate[0] for look in having)),
        "control": plain(_mean(look.control for look in having)),
    }


def finding(looks: Looks, grid: Mapping[str, Mapping[str, str]], label: str, who: str, control: str | None) -> str:
    """What was found in one arm, in one or two sentences."""
    found, plainly = looks.found, f"{_percent(looks.plain[0])} plainly"
    measured = [look for look in looks.each if np.isfinite(look.moved[0])]
    largest = max(measured, key=lambda look: abs(look.moved[0]), default=None)
    looked = f"{len(looks.each)} conditions"
    if looks.n_measured < len(looks.each):
        looked = f"{looks.n_measured} conditions measured of {len(looks.each)}"
    if not looks.testable:
        reached = f"so few {looks.unit} reach no p below {looks.smallest_p:.2g}" if largest else "nothing was measured"
        return f"{who}: whether any of {looked} moves {label} answers cannot be told ({plainly}): {reached}."
    if not found:
        at_most = f"; at most {100 * largest.moved[0]:+.1f} points, {largest.condition}" if largest else ""
        than = f" beyond what it does to {control}" if control else ""
        return f"{who}: none of {looked} moves {label} answers{than} ({plainly}{at_most})."
    parts, left = list[str](), [look.condition for look in found]
    for mark in shared_marks(_altered(grid), left):
        shared = _shared(mark, looks)
        theirs = f"; {control}: {_percent(shared['control'])}" if control else ""
        parts.append(
            f"{_percent(shared['value'])} where the prompt {mark.words} ({len(mark.found)} of {len(mark.having)} "
            f"{'other ' if parts else ''}conditions found{theirs})"
        )
        left = [name for name in left if name not in mark.having]
    single = [look for look in found if look.condition in left]
    parts += [f"{_percent(look.rate[0])} under {look.condition}" for look in single[:NAMED]]
    if len(single) > NAMED:
        parts.append(f"and {len(single) - NAMED} more")
    note = "" if control else " No control: any model may react so."
    return (
        f"{who}: {label} answers, {plainly}, are {'; '.join(parts)}. {len(found)} of {looked} "
        f"found, corrected over {looks.unit}.{note}"
    )


def _altered(grid: Mapping[str, Mapping[str, str]]) -> dict[str, Mapping[str, str]]:
    return {name: about for name, about in grid.items() if name != PLAIN}


def _percent(value: float | None) -> str:
    if value is None or not np.isfinite(value):
        return "not measured"
    return f"{100 * value:.1f} %" if value < 0.1 else f"{100 * value:.0f} %"
