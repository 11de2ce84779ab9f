"""The rates of a run, one row for each arm, place and condition; what the table, the plot and the CSV show."""

from dataclasses import dataclass
from typing import Any

COHERENT = "coherent"


@dataclass(frozen=True)
class Row:
    """Rates of one arm in one place under one condition; each is an entry of ``rates``, or None.

    An entry whose value is None was asked for and not measured.
    """

    arm: str
    title: str
    where: str
    condition: str
    exact: dict[str, Any] | None
    sampled: dict[str, Any] | None
    coherent: dict[str, Any] | None

    @property
    def main(self) -> dict[str, Any] | None:
        """The exact rate where there is one."""
        return self.exact or self.sampled

    @property
    def is_measured(self) -> bool:
        """Whether there is a number to show."""
        return self.main is not None and self.main["value"] is not None


def rate_rows(results: dict[str, Any]) -> list[Row]:
    """Rows in the order of places, then arms."""
    label = results["label"]
    known = {
        (rate["arm"], rate["where"], rate["condition"], rate["label"], rate["measure"]): rate
        for rate in results["rates"]
        if rate["value"] is not None or (rate["measure"] == "sampled" and rate["label"] == label)
    }
    conditions = list(dict.fromkeys(rate["condition"] for rate in results["rates"]))
    rows = []
    for where in results["wheres"]:
        for arm in results["arms"]:
            for condition in conditions:
                place = (arm["name"], where["name"], condition)
                exact, sampled = (known.get((*place, label, measure)) for measure in ("exact", "sampled"))
                coherent = known.get((*place, COHERENT, "exact")) or known.get((*place, COHERENT, "sampled"))
                if exact or sampled:
                    rows.append(Row(arm["name"], arm["title"], where["name"], condition, exact, sampled, coherent))
    return rows


def plotted(results: dict[str, Any]) -> list[Row]:
    """Rows of the main plot, place by place."""
    plot = results["plot"]
    wheres = plot["x_groups"] or [where["name"] for where in results["wheres"]]
    conditions = plot["conditions"]
    chosen = [
        row
        for row in rate_rows(results)
        if row.is_measured and row.where in wheres and row.arm in plot["arms"] and row.condition in conditions
    ]
    return sorted(chosen, key=lambda row: wheres.index(row.where))


def percent(value: float | None) -> str:
    """``12.3 %``; a dash where nothing was measured."""
    return "–" if value is None else f"{100 * value:.1f} %"


def p_value(p: float) -> str:
    """``p = .032``, ``p < .001``."""
    if p < 0.001:
        return "p < .001"
    return "p = " + f"{p:.3f}".rstrip("0").rstrip(".").removeprefix("0")


def interval(ends: list[float] | None) -> str:
    """``[9.8, 14.1]`` in percent, or nothing."""
    return "" if ends is None else f"[{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]"
