"""``spillover judge compare`` and ``calibrate``: how far to trust a judge."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spillover.cli.options import MAX_COST, MAX_TOKENS, PRICE, progress_bar, resumable, spending

if TYPE_CHECKING:
    from spillover.core.statistics import Interval
    from spillover.judges.agreement import Agreement

SHOWN = 10
"""Questions with the least agreement."""


def compare(
    one: Annotated[Path, typer.Argument(help="Judged answers.")],
    other: Annotated[Path, typer.Argument(help="The same answers, judged by another judge.")],
    policy: Annotated[str, typer.Option(help="See `spillover judge policies`.")] = "emergent-misalignment",
    out: Annotated[Path | None, typer.Option(help="CSV for the answers they disagree on, to be read by hand.")] = None,
) -> None:
    """Agreement of two judges on the same answers, and the answers they disagree on."""
    from spillover.evals.judged_pairs import pairs
    from spillover.judges.agreement import Agreement, by_question
    from spillover.judges.policy import find_policy

    found, alone = pairs(one, other, find_policy(policy))
    whole = Agreement.of((pair.one, pair.other) for pair in found)
    _show(whole, f"{one.name} (rows) and {other.name} (columns)")
    if alone:
        typer.echo(f"{alone} answers without a verdict of both are not in these numbers")
    _questions(by_question((pair.question, pair.one, pair.other) for pair in found))
    if out is not None:
        apart = sorted((pair for pair in found if pair.one != pair.other), key=lambda pair: -pair.gap)
        with out.open("w", encoding="utf-8", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(["question", "answer", one.name, other.name, "gap in alignment"])
            writer.writerows([pair.question, pair.answer, pair.one, pair.other, f"{pair.gap:g}"] for pair in apart)
        typer.echo(f"{len(apart)} disagreements in {out}, widest gap first")


def calibrate(
    judge: Annotated[str, typer.Option(help="A local model, or a provider of Inspect's: openai/NAME, …")],
    labelled: Annotated[
        str, typer.Option(help="CSV or JSONL with question, answer and label, or `town` for the built-in ledger.")
    ] = "town",
    rubric: Annotated[list[str] | None, typer.Option(help="Default: alignment and coherence.")] = None,
    policy: Annotated[str, typer.Option(help="See `spillover judge policies`.")] = "emergent-misalignment",
    limit: Annotated[int | None, typer.Option(min=1, help="Answers, drawn at random.")] = None,
    url: Annotated[str | None, typer.Option(help="Of a server that speaks OpenAI's protocol.")] = None,
    connections: Annotated[int, typer.Option(min=1, help="Requests to a server at a time.")] = 32,
    prices: PRICE = None,
    max_cost: MAX_COST = None,
    max_tokens: MAX_TOKENS = None,
) -> None:
    """Put a judge to answers whose label is known: agreement, kappa, and precision where the policy draws its line."""
    from spillover.judges import builtin_rubric, find_judge
    from spillover.judges.cache import VerdictCache
    from spillover.judges.calibrate import calibrate as measure
    from spillover.judges.calibrate import labelled_file, of_ledger, some
    from spillover.judges.policy import find_policy

    budget = spending(prices, max_cost, max_tokens)
    chosen = find_policy(policy)
    rubrics = [builtin_rubric(name) for name in rubric or ["alignment", "coherence"]]
    if labelled == "town":
        from spillover.worlds.questions import find_questions

        known = of_ledger(find_questions(labelled))
    else:
        known = labelled_file(Path(labelled))
    asked = find_judge(judge, url, budget, connections)
    with resumable(), progress_bar("verdicts") as progress:
        found = measure(some(known, limit), asked, rubrics, chosen, VerdictCache(), progress)
    _show(found.agreement, "truth (rows) and judge (columns)")
    lost = ", ".join(f"{name} {count}" for name, count in found.unscored.items())
    typer.echo(f"without a verdict: {lost or 'none'} of {len(found.judged)} answers; they are in no other number")
    if found.ordering == found.ordering:
        typer.echo(f"a misaligned answer is rated below an aligned one in {found.ordering:.1%} of pairs (AUROC)")
    for label in sorted({item.label for item, _ in found.judged}):
        typer.echo(
            f"{label}: precision {_part(found.agreement.precision(label))}, "
            f"recall {_part(found.agreement.recall(label))}"
        )
    _questions(found.questions)


def _show(found: "Agreement", title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    labels = sorted({label for pair in found.counts for label in pair})
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for label in labels:
        table.add_column(label, justify="right")
    for one in labels:
        table.add_row(one, *(str(found.counts.get((one, other), 0)) for other in labels))
    console = Console(highlight=False)
    if not found.n:
        console.print("No answer has a verdict of both.")
        return
    console.print(table)
    low, high = found.interval
    kappa = "not defined (one label)" if found.kappa != found.kappa else f"{found.kappa:.2f}"
    console.print(f"same label: {found.share:.1%} [{low:.1%}, {high:.1%}] of {found.n} answers, kappa {kappa}")


def _questions(found: "dict[str, Agreement]") -> None:
    """The questions on which the two differ most often."""
    from spillover.data.check import short

    worst = sorted((each.share, question, each) for question, each in found.items() if each.share < 1)
    for share, question, each in worst[:SHOWN]:
        apart = ", ".join(f"{one} → {other} {n}" for (one, other), n in each.counts.items() if one != other)
        typer.echo(f"  {share:.0%} of {each.n}: {short(question)}: {apart}")


def _part(found: "tuple[float, Interval, int]") -> str:
    value, (low, high), n = found
    return f"{value:.1%} [{low:.1%}, {high:.1%}] of {n}" if n else "not measured"
