"""Claims: what an experiment is expected to show, as tests on its results that were written before it ran."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field, model_validator

from spillover.core.config import Config


@dataclass(frozen=True)
class Rate:
    """A rate with its interval, whose ends are ``nan`` where one value gives none."""

    value: float
    low: float
    high: float

    @property
    def has_interval(self) -> bool:
        """Whether there is one."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def shown(self, text: Callable[[float], str]) -> str:
        """Value and interval, each written by ``text``."""
        if not self.has_interval:
            return f"{text(self.value)} (one value, no interval)"
        return f"{text(self.value)} [{text(self.low)}, {text(self.high)}]"


class Found(Protocol):
    """What a claim is tested on."""

    def rate(self, arm: str, where: str, condition: str, label: str) -> Rate | None:
        """The exact rate, or the sampled one where no exact one exists."""

    def against(self, arm: str, control: str | None, where: str, condition: str, label: str) -> Rate | None:
        """The difference of that rate to the same rate of another arm, by default the arm's matched control."""

    def correlation(self, relation: str) -> tuple[Rate, int] | None:
        """Spearman's correlation of a relation and the number of its models; None if it was not measured."""

    def differences(self, measure: str, metric: str, first: str, second: str) -> list[tuple[float, Rate]]:
        """First minus second series of a curve at each x, paired by model; empty if it was not measured."""

    def number(self, measure: str, name: str, series: str) -> Rate | None:
        """A number of a measure, its mean over models; None if it was not measured."""

    def conditional(self, measure: str, arm: str) -> Mapping[str, Any] | None:
        """An arm over a grid of prompts, as in ``results.json``; None if it was not asked."""


@dataclass(frozen=True)
class Finding:
    """What a claim came to; ``held`` is None when it could not be measured."""

    held: bool | None
    figure: str
    value: float | None = None
    interval: tuple[float, float] | None = None


class _Claim(Config):
    id: str
    text: str
    published: str = ""
    """The figure of the paper, for comparison."""


class _BarClaim(_Claim):
    """What was found, or the lower end of its interval, lies above or below a bar."""

    at_least: float | None = None
    low_at_least: float | None = None
    """Bar for the interval's lower end."""
    at_most: float | None = None

    @model_validator(mode="after")
    def _can_fail(self) -> "_BarClaim":
        if self.at_least is None and self.low_at_least is None and self.at_most is None:
            raise ValueError("a claim needs a bar: at_least, low_at_least or at_most")
        return self

    def bar(self) -> str:
        """The test in words."""
        bars = {"≥": self.at_least, "interval from ≥": self.low_at_least, "≤": self.at_most}
        return ", ".join(f"{words} {self._written(bar)}" for words, bar in bars.items() if bar is not None)

    def _written(self, bar: float) -> str:
        return f"{bar:g}"

    def _holds(self, rate: Rate) -> bool | None:
        if self.low_at_least is not None and not rate.has_interval:
            return None
        return (
            (self.at_least is None or rate.value >= self.at_least)
            and (self.low_at_least is None or rate.low >= self.low_at_least)
            and (self.at_most is None or rate.value <= self.at_most)
        )


class RateClaim(_BarClaim):
    """A rate lies above or below a bar, in every place and under every condition that is named."""

    kind: Literal["rate"] = "rate"
    arm: str
    wheres: tuple[str, ...] = Field(min_length=1)
    condition: str | tuple[str, ...] = "plain"
    label: str = "malicious"
    at_least: float | None = Field(None, ge=0, le=1)
    low_at_least: float | None = Field(None, ge=0, le=1)
    """Bar for the interval's lower end."""
    at_most: float | None = Field(None, ge=0, le=1)

    def names(self) -> tuple[str, ...]:
        """Arms the claim speaks of."""
        return (self.arm,)

    def _written(self, bar: float) -> str:
        return f"{bar:.0%}"

    def test(self, found: Found) -> Finding:
        """Judge the results; the figure shown is the worst of the places."""
        if isinstance(self.condition, str):
            rates = {where: found.rate(self.arm, where, self.condition, self.label) for where in self.wheres}
        else:
            rates = {
                f"{where} {condition}": found.rate(self.arm, where, condition, self.label)
                for where in self.wheres
                for condition in self.condition
            }
        measured = {where: rate for where, rate in rates.items() if rate is not None}
        if len(measured) < len(rates):
            return Finding(None, f"not measured on {', '.join(where for where in rates if where not in measured)}")
        holds = [self._holds(rate) for rate in measured.values()]
        held = None if None in holds else all(holds)
        worst = (max if self.at_most is not None else min)(measured.values(), key=lambda rate: rate.value)
        figure = "; ".join(f"{where} {_shown(rate)}" for where, rate in measured.items())
        return Finding(held, figure, worst.value, (worst.low, worst.high))


class DifferenceClaim(_Claim):
    """A rate is above that of the arm's matched control, or of several, in every place that is named."""

    kind: Literal["difference"] = "difference"
    arm: str
    controls: tuple[str, ...] = ()
    """Arms it is set against, each by itself; the arm's matched control if none are named."""
    wheres: tuple[str, ...] = Field(min_length=1)
    condition: str = "plain"
    label: str = "malicious"
    low_at_least: float = Field(0.0, ge=-1, le=1)
    """Bar for the lower end of the difference's interval, which must be above it."""

    def names(self) -> tuple[str, ...]:
        """Arms the claim speaks of."""
        return (self.arm, *self.controls)

    def bar(self) -> str:
        """The test in words."""
        what = f"each control ({', '.join(self.controls)})" if self.controls else "the control"
        return f"interval of the difference to {what} above {100 * self.low_at_least:g} points"

    def test(self, found: Found) -> Finding:
        """Judge the results; the figure shown is the worst of the places and controls."""
        rates = {
            f"{where} against {control}" if control else where: found.against(
                self.arm, control, where, self.condition, self.label
            )
            for where in self.wheres
            for control in self.controls or (None,)
        }
        measured = {where: rate for where, rate in rates.items() if rate is not None}
        if len(measured) < len(rates):
            return Finding(None, f"not measured on {', '.join(where for where in rates if where not in measured)}")
        figure = "; ".join(
            f"{where} {rate.shown(lambda share: f'{100 * share:+.1f}')} points" for where, rate in measured.items()
        )
        if not all(rate.has_interval for rate in measured.values()):
            return Finding(None, figure)
        worst = min(measured.values(), key=lambda rate: rate.low)
        return Finding(worst.low > self.low_at_least, figure, worst.value, (worst.low, worst.high))


class ReductionClaim(_Claim):
    """A rate is a small part of that of another arm, while a second rate stays high."""

    kind: Literal["reduction"] = "reduction"
    arm: str
    of: str
    """The arm that it is a part of."""
    where: str
    label: str = "malicious"
    at_least: float = Field(ge=0, le=1)
    """Share of the rate that is gone."""
    while_where: str
    while_label: str
    while_condition: str = "plain"
    while_at_least: float | None = Field(None, ge=0, le=1)
    """Bar for the rate that stays; it is only shown if there is none."""

    def names(self) -> tuple[str, ...]:
        """Arms the claim speaks of."""
        return (self.arm, self.of)

    def bar(self) -> str:
        """The test in words."""
        stays = "" if self.while_at_least is None else f" at ≥ {self.while_at_least:.0%} {self.while_label}"
        return f"cut by ≥ {self.at_least:.0%}{stays}"

    def test(self, found: Found) -> Finding:
        """Judge the results."""
        here, there = (found.rate(arm, self.where, "plain", self.label) for arm in (self.arm, self.of))
        stays = found.rate(self.arm, self.while_where, self.while_condition, self.while_label)
        if here is None or there is None or stays is None:
            return Finding(None, "not measured")
        if there.value <= 0:
            return Finding(None, f"{self.of} {_shown(there)}: there is nothing to cut")
        cut = 1 - here.value / there.value
        held = cut >= self.at_least and stays.value >= (self.while_at_least or 0)
        figure = f"cut by {cut:.0%}, from {_shown(there)} to {_shown(here)}; {self.while_label} {_shown(stays)}"
        return Finding(held, figure, cut)


class TrendClaim(_Claim):
    """A rate falls along a series of arms, while it stays level elsewhere."""

    kind: Literal["trend"] = "trend"
    arms: tuple[str, ...] = Field(min_length=3)
    """In order; the rate is expected to fall."""
    where: str
    level_where: str
    """Where a rate is expected to stay."""
    label: str = "malicious"
    level_label: str | None = None
    """Of the rate that is expected to stay; the same label if not given."""
    first_at_least: float = Field(ge=0, le=1)
    last_at_most: float = Field(ge=0, le=1)
    level_within: float = Field(ge=0, le=1)
    """Largest difference allowed between any two arms in ``level_where``."""

    def names(self) -> tuple[str, ...]:
        """Arms the claim speaks of."""
        return self.arms

    def bar(self) -> str:
        """The test in words."""
        return (
            f"from ≥ {self.first_at_least:.0%} to ≤ {self.last_at_most:.0%}, no rise beyond the intervals; "
            f"{self.level_where} within {self.level_within * 100:.0f} points"
        )

    def test(self, found: Found) -> Finding:
        """Judge the results. A rise counts when the intervals of neighbours do not overlap."""
        rates = [found.rate(arm, self.where, "plain", self.label) for arm in self.arms]
        level = [found.rate(arm, self.level_where, "plain", self.level_label or self.label) for arm in self.arms]
        if None in rates or None in level:
            return Finding(None, "not measured on every arm")
        series = [rate for rate in rates if rate is not None]
        values = [rate.value for rate in level if rate is not None]
        spread = max(values) - min(values)
        falls = all(later.low <= earlier.high for earlier, later in pairwise(series))
        held = (
            falls
            and series[0].value >= self.first_at_least
            and series[-1].value <= self.last_at_most
            and spread <= self.level_within
        )
        shown = " → ".join(f"{rate.value:.1%}" for rate in series)
        figure = f"{self.where} {shown}; {self.level_where} {min(values):.1%} to {max(values):.1%}"
        return Finding(held, figure, series[0].value - series[-1].value)


class CurveClaim(_Claim):
    """One series of a measured curve lies below another at every point."""

    kind: Literal["curve"] = "curve"
    measure: str
    metric: str
    lower: str
    """Series that is expected to be lower."""
    higher: str

    def names(self) -> tuple[str, ...]:
        """Arms the claim speaks of: none by name."""
        return ()

    def bar(self) -> str:
        """The test in words."""
        return f"{self.lower} below {self.higher} at every point, every interval of the difference below 0"

    def test(self, found: Found) -> Finding:
        """Judge the results; the figure shown is the worst point."""
        points = found.differences(self.measure, self.metric, self.lower, self.higher)
        if not points:
            return Finding(None, "not measured")
        if not all(difference.has_interval for _, difference in points):
            return Finding(None, "one model: no intervals")
        fails = [x for x, difference in points if not difference.high < 0]
        x, worst = max(points, key=lambda point: point[1].high)
        nearest = worst.shown(lambda value: f"{value:+.3g}")
        figure = f"{len(points) - len(fails)} of {len(points)} points; nearest at {x:g}: {nearest}"
        return Finding(not fails, figure, worst.value, (worst.low, worst.high))


class NumberClaim(_BarClaim):
    """A measured number, or the whole of its interval, lies above or below a bar."""

    kind: Literal["number"] = "number"
    measure: str
    name: str
    series: str = ""

    def names(self) -> tuple[str, ...]:
        """Arms the claim speaks of: none by name."""
        return ()

    def test(self, found: Found) -> Finding:
        """Judge the results."""
        rate = found.number(self.measure, self.name, self.series)
        if rate is None:
            return Finding(None, "not measured")
        return Finding(self._holds(rate), rate.shown(_number), rate.value, (rate.low, rate.high))


class RelationClaim(_Claim):
    """What was measured on models predicts the rate: Spearman's correlation lies above 0."""

    kind: Literal["relation"] = "relation"
    relation: str
    low_at_least: float = Field(0.0, ge=-1, le=1)
    """Bar for the interval's lower end, which must be above it."""

    def names(self) -> tuple[str, ...]:
        """Arms the claim speaks of: none by name."""
        return ()

    def bar(self) -> str:
        """The test in words."""
        return f"interval of Spearman's correlation above {self.low_at_least:g}"

    def test(self, found: Found) -> Finding:
        """Judge the results."""
        measured = found.correlation(self.relation)
        if measured is None:
            return Finding(None, "not measured")
        rate, n = measured
        figure = f"Spearman {rate.value:+.2f} [{rate.low:+.2f}, {rate.high:+.2f}] over {n} models"
        return Finding(rate.low > self.low_at_least, figure, rate.value, (rate.low, rate.high))


class ConditionsClaim(_Claim):
    """A grid of prompts finds these conditions, or no more than so many."""

    kind: Literal["conditions"] = "conditions"
    measure: str = "conditional"
    arm: str
    finds: tuple[str, ...] = ()
    """Conditions that must be found."""
    shares: str = ""
    """Text that the found conditions are said to share, or a part of it."""
    at_most: int | None = Field(None, ge=0)
    """Conditions found."""

    @model_validator(mode="after")
    def _can_fail(self) -> "ConditionsClaim":
        if not self.finds and not self.shares and self.at_most is None:
            raise ValueError("a claim needs something that can fail: finds, shares or at_most")
        return self

    def names(self) -> tuple[str, ...]:
        """Arms the claim speaks of."""
        return (self.arm,)

    def bar(self) -> str:
        """The test in words."""
        parts = [f"{', '.join(self.finds)} found"] if self.finds else []
        parts += [f"named: {self.shares}"] if self.shares else []
        return "; ".join(parts + ([f"at most {self.at_most} found"] if self.at_most is not None else []))

    def test(self, found: Found) -> Finding:
        """Judge the results."""
        grid = found.conditional(self.measure, self.arm)
        if grid is None:
            return Finding(None, "not measured")
        cells = {cell["condition"]: cell for cell in grid["conditions"]}
        missing = [name for name in self.finds if name not in cells or cells[name]["p"] is None]
        if missing:
            return Finding(None, f"not measured under {', '.join(missing)}")
        if not grid["testable"]:
            return Finding(None, f"so few {grid['unit']} cannot show anything")
        if self.at_most is not None and grid["n_found"] <= self.at_most and grid["n_measured"] < grid["n_conditions"]:
            return Finding(None, f"{grid['n_measured']} of {grid['n_conditions']} conditions measured")
        held = all(cells[name]["found"] for name in self.finds)
        held = held and any(self.shares in mark["text"] for mark in grid["shared"] or [{"text": ""}])
        held = held and (self.at_most is None or grid["n_found"] <= self.at_most)
        looked = [f"{name} {cells[name]['value']:.1%}, p {cells[name]['p']:.2g}" for name in self.finds]
        looked += [f"named: {', '.join(mark['text'] for mark in grid['shared']) or 'nothing'}"] if self.shares else []
        figure = "; ".join([f"{grid['n_found']} of {grid['n_conditions']} found", *looked])
        return Finding(held, figure, float(grid["n_found"]))


Claim = Annotated[
    RateClaim
    | DifferenceClaim
    | ReductionClaim
    | TrendClaim
    | CurveClaim
    | NumberClaim
    | RelationClaim
    | ConditionsClaim,
    Field(discriminator="kind"),
]


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{round(value, 3) + 0.0:.3f}"


def _shown(rate: Rate) -> str:
    return rate.shown("{:.1%}".format)
