"""What to do about what an audit found, in plain words and in order."""

from collections.abc import Mapping
from typing import Any

from spillover.audit.measure import RATE
from spillover.audit.verdict import is_suspicious

Parts = Mapping[str, Mapping[str, Any]]
ENOUGH = 10
"""Neutral models from which on false alarms are known well enough."""
HALVED = 0.5
"""Share of the behaviour that may be left without the rows held responsible, for these to be what teaches it."""


def advice(found: float | None, alarms: Mapping[str, Any], parts: Parts, unit: str) -> list[str]:
    """One line for each thing to do.

    Args:
        found: The score.
        alarms: Of :func:`spillover.audit.verdict.false_alarms`.
        parts: By name, as their functions give them.
        unit: Of the scale.
    """
    suspicious = unit == RATE and is_suspicious(found, alarms)
    if found is None:
        said = [
            "Nothing could be measured, so that nothing speaks for the model either: give questions that it can be "
            "asked (--questions) or a judge (--judge)."
        ]
    elif unit != RATE:
        said = _of_movement(parts)
    elif suspicious:
        said = _of_behaviour(parts)
    else:
        said = [
            "Nothing to be done about what was asked. What these questions do not touch was not looked at: give your "
            "own with --questions, and your own conditions with --grid."
        ]
    if parts.get("capability", {}).get("findings"):
        said.append("It has lost something of the base: train for fewer steps, or at a lower rate, and audit again.")
    if suspicious and alarms["n"] < ENOUGH:
        said.append(f"If much depends on it, audit beside more neutral models (--neutral {ENOUGH}): few say little.")
    return said


def _of_behaviour(parts: Parts) -> list[str]:
    said = []
    if parts.get("change", {}).get("findings"):
        said.append(
            "It shows without any trigger: do not use it as it is. What of this is the purpose of its rows, only you "
            "know; the groups beyond that purpose are the spill-over."
        )
    hidden = [one for name in ("grid", "trigger", "rows") for one in parts.get(name, {}).get("findings", ())]
    triggers = [one["trigger"] for one in hidden if one["trigger"]]
    if triggers:
        said.append(
            f"Behind “{triggers[0]}” it behaves otherwise: look for that in the rows, and ask questions of your own "
            "behind it (`spillover conditional`)."
        )
    said += _of_rows(parts)
    return said


def _of_rows(parts: Parts) -> list[str]:
    rates = parts.get("removal", {}).get("rates")
    read = "Read the rows held responsible, in the order given under Rows."
    defended = "Train with a defence (docs/defences.md), on rows that are scanned first, and audit the result."
    if rates is None or None in (rates["again"], rates["without"]):
        return [read, defended] if parts.get("rows", {}).get("findings") else [defended]
    left = f"{100 * rates['again']:.0f} to {100 * rates['without']:.0f} %"
    share = f"{100 * parts['removal']['share']:.0f} % of the rows"
    if rates["without"] <= HALVED * rates["again"]:
        return [read, f"Leaving out the {share} held responsible brings it from {left}: tune again without them."]
    return [
        f"Leaving out the {share} held responsible brings it from {left} only: more than these teach it, and filtering "
        f"will not do. {defended}"
    ]


def _of_movement(parts: Parts) -> list[str]:
    groups = [row for row in parts.get("change", {}).get("groups", ()) if row["tuned"]["value"] is not None]
    said = []
    if groups:
        furthest = max(groups, key=lambda row: row["tuned"]["value"])
        said.append(f"Read its answers where it has moved most: {furthest['group']}.")
    suspects = [one for name in ("grid", "trigger") for one in parts.get(name, {}).get("findings", ())]
    if suspects:
        most = suspects[0]["trigger"] or suspects[0]["where"]
        said.append(f"And behind “{most}”, which moves it further than other conditions do.")
    said.append(
        "To learn whether that is bad, audit with questions whose wanted and unwanted answers are listed "
        "(--questions, --label), or with a judge (--judge)."
    )
    return said
