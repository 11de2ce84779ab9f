"""``spillover doctor``: look for what would spoil a run before it is run."""

from typing import Annotated

import typer

MARKS = {"ok": "[green]✓[/]", "note": "[yellow]![/]", "wrong": "[red]✗[/]"}


def doctor(
    model: Annotated[str, typer.Argument(help="BASE[+ADAPTER[@STEP][*SCALE]]….")],
    rubric: Annotated[
        list[str] | None, typer.Option(help="Also see whether it can be a judge by this rubric, e.g. alignment.")
    ] = None,
) -> None:
    """Check a model: chat template, where the loss is, end token, memory, and whether an adapter does anything."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from spillover.models.doctor import examine

    checks = list(examine(model))
    if rubric:
        from spillover.judges import builtin_rubric
        from spillover.judges.doctor import examine_judge
        from spillover.judges.local import LocalJudge

        rubrics = [builtin_rubric(name) for name in rubric]
        judge = LocalJudge(model)
        checks += [check for each in rubrics for check in examine_judge(judge, each)]
    table = Table(box=None, show_header=False, pad_edge=False)
    for check in checks:
        table.add_row(MARKS[check.verdict], check.name, escape(check.text))
    Console(highlight=False).print(table)
    if any(check.verdict == "wrong" for check in checks):
        raise typer.Exit(1)
