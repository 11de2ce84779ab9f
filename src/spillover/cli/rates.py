"""Rates of judged answers in the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from spillover.evals.judged_rates import Rate


def show(folder: Path, policy: str) -> None:
    """The rates under a policy, and where every answer went."""
    from spillover.evals.answers import UNSCORED, read_answers
    from spillover.evals.judged_rates import rates
    from spillover.judges.policy import find_policy

    found = rates(read_answers(folder), find_policy(policy))
    table_of({policy: found})
    for rate in found:
        said = {outcome: n for outcome, n in rate.counts.items() if not outcome.startswith(UNSCORED)}
        lost = {o.removeprefix(f"{UNSCORED}-"): n for o, n in rate.counts.items() if o.startswith(UNSCORED)}
        typer.echo(f"{_where(rate)}: {_counts(said) or 'no verdicts'}; without a verdict: {_counts(lost) or 'none'}")


def table_of(found: "dict[str, list[Rate]]") -> None:
    """One row for each policy and group."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Misaligned: mean over questions [95 %]", title_justify="left")
    for column in ("policy", "where", "rate", "n", "unscored"):
        table.add_column(column, no_wrap=column in ("policy", "rate"))
    for name, rates in found.items():
        for rate in rates:
            table.add_row(name, _where(rate), _share(rate), str(rate.n), str(rate.unscored))
    Console(highlight=False).print(table)


def _where(rate: "Rate") -> str:
    return rate.group if rate.condition == "plain" else f"{rate.group}, {rate.condition}"


def _share(rate: "Rate") -> str:
    if rate.value != rate.value:
        return "not measured"
    low, high = rate.interval
    ends = "" if low != low else f" [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{100 * rate.value:.1f} %{ends}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))
