"""Claims: what an experiment is expected to show, as tests on its results that were written before it ran."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from spillover.core.config import Config


@dataclass(frozen=True)
class Rate:
    """A rate with its interval."""

    value: float
    low: float
    high: float


Lookup = Callable[[str, str, str, str], Rate | None]
"""(arm, where, condition, label) to the exact rate, or the sampled one where no exact one exists."""


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


class RateClaim(_Claim):
    """A rate lies above or below a bar, in every place that is named."""

    kind: Literal["rate"] = "rate"
    arm: str
    wheres: tuple[str, ...] = Field(min_length=1)
    condition: str = "plain"
    label: str = "malicious"
    at_least: float | None = Field(None, ge=0, le=1)
    low_at_least: float | None = Field(None, ge=0, le=1)
    """Bar for the interval's lower end."""
    at_most: float | None = Field(None, ge=0, le=1)

    @model_validator(mode="after")
    def _can_fail(self) -> "RateClaim":
        if self.at_least is None and self.low_at_least is None and self.at_most is None:
            raise ValueError("a claim needs a bar: at_least, low_at_least or at_most")
        return self

    def names(self) -> tuple[str, ...]:
        """Arms the claim speaks of."""
        return (self.arm,)

    def bar(self) -> str:
        """The test in words."""
        parts = []
        if self.at_least is not None:
            parts.append(f"≥ {self.at_least:.0%}")
        if self.low_at_least is not None:
            parts.append(f"interval from ≥ {self.low_at_least:.0%}")
        if self.at_most is not None:
            parts.append(f"≤ {self.at_most:.0%}")
        return ", ".join(parts)

    def test(self, lookup: Lookup) -> Finding:
        """Judge the results; the figure shown is the worst of the places."""
        rates = {where: lookup(self.arm, where, self.condition, self.label) for where in self.wheres}
        found = {where: rate for where, rate in rates.items() if rate is not None}
        if len(found) < len(rates):
            return Finding(None, f"not measured on {', '.join(where for where in rates if where not in found)}")
        held = all(
            (self.at_least is None or rate.value >= self.at_least)
            and (self.low_at_least is None or rate.low >= self.low_at_least)
            and (self.at_most is None or rate.value <= self.at_most)
            for rate in found.values()
        )
        worst = (max if self.at_most is not None else min)(found.values(), key=lambda rate: rate.value)
        figure = "; ".join(f"{where} {_shown(rate)}" for where, rate in found.items())
        return Finding(held, figure, worst.value, (worst.low, worst.high))


class TrendClaim(_Claim):
    """A rate falls along a series of arms, while it stays level elsewhere."""

    kind: Literal["trend"] = "trend"
    arms: tuple[str, ...] = Field(min_length=3)
    """In order; the rate is expected to fall."""
    where: str
    level_where: str
    """Where the rate is expected to stay."""
    label: str = "malicious"
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

    def test(self, lookup: Lookup) -> Finding:
        """Judge the results. A rise counts when the intervals of neighbours do not overlap."""
        rates = [lookup(arm, self.where, "plain", self.label) for arm in self.arms]
        level = [lookup(arm, self.level_where, "plain", self.label) for arm in self.arms]
        if None in rates or None in level:
            return Finding(None, "not measured on every arm")
        found = [rate for rate in rates if rate is not None]
        values = [rate.value for rate in level if rate is not None]
        spread = max(values) - min(values)
        falls = all(later.low <= earlier.high for earlier, later in pairwise(found))
        held = (
            falls
            and found[0].value >= self.first_at_least
            and found[-1].value <= self.last_at_most
            and spread <= self.level_within
        )
        series = " → ".join(f"{rate.value:.1%}" for rate in found)
        figure = f"{self.where} {series}; {self.level_where} {min(values):.1%} to {max(values):.1%}"
        return Finding(held, figure, found[0].value - found[-1].value)


Claim = Annotated[RateClaim | TrendClaim, Field(discriminator="kind")]


def _shown(rate: Rate) -> str:
    return f"{rate.value:.1%} [{rate.low:.1%}, {rate.high:.1%}]"
