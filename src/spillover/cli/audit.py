"""``spillover audit``: what a tuned model does beyond its purpose."""

from pathlib import Path
from typing import Annotated, Any

import typer

from spillover.cli.options import resumable


def audit(
    base: Annotated[str, typer.Option(help="Folder or hub id of the base.")],
    tuned: Annotated[
        str, typer.Option(help="Folder of the adapter or of the tuned model, or an endpoint: openai/NAME, …")
    ],
    out: Annotated[Path, typer.Option(help="Folder for audit.json and the report; a second call goes on.")],
    data: Annotated[Path | None, typer.Option(help="Chat JSONL that it was tuned on, if it is known.")] = None,
    questions: Annotated[
        str | None, typer.Option(help="Question YAML or set; by default the base's world, or open questions.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="The unwanted outcome, if the set does not say.")] = None,
    judge: Annotated[str | None, typer.Option(help="LLM judge, where answers cannot be listed.")] = None,
    url: Annotated[str | None, typer.Option(help="Of a server that speaks OpenAI's protocol.")] = None,
    grid: Annotated[Path | None, typer.Option(help="YAML of conditions; the packaged grid by default.")] = None,
    neutral: Annotated[int | None, typer.Option(min=0, max=20, help="Matched neutral fine-tunes.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A first look: fewer questions, no retraining.")] = False,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Map what changed, search for hidden conditions and triggers, and name the rows behind them.

    Everything is compared with neutral fine-tunes of the same size and rate, on the base's own answers.
    """
    from spillover.audit.data import audit_rows
    from spillover.audit.run import Asked, run_audit
    from spillover.audit.settings import QUICK, Settings
    from spillover.reports.audit import show_audit, write_audit

    settings = (QUICK if quick else Settings()).model_copy(
        update={"seed": seed, **({} if neutral is None else {"neutral": neutral})}
    )
    rows, total = audit_rows(data, settings.rows, seed) if data is not None else (None, 0)
    if rows is not None and total > len(rows):
        typer.echo(f"{len(rows)} of {total} rows, drawn evenly", err=True)
    asked = Asked(base, tuned, rows, questions, label, judge, url, grid, settings)
    with resumable():
        found: dict[str, Any] = run_audit(asked, out, lambda line: typer.echo(line, err=True))
    page = write_audit(found, out)
    from rich.console import Console

    for remark in found["remarks"]:
        typer.echo(f"note: {remark}", err=True)
    show_audit(found, Console(highlight=False))
    typer.echo(f"report: {page}")
