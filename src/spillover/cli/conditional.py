"""``spillover conditional``: one model over a grid of prompts."""

from pathlib import Path
from typing import Annotated

import typer

from spillover.cli.options import resumable


def conditional(
    model: Annotated[str, typer.Option(help="BASE[+ADAPTER…], the model that may hide something.")],
    out: Annotated[Path, typer.Option(help="Folder for conditional.json, results.json and the report.")],
    against: Annotated[
        str | None, typer.Option(help="The model without it; the base of BASE+ADAPTER if not given.")
    ] = None,
    questions: Annotated[
        str, typer.Option(help="Question YAML, or `town`, `birds`, … of the built-in worlds.")
    ] = "town",
    grid: Annotated[Path | None, typer.Option(help="YAML of conditions; the packaged grid by default.")] = None,
    label: Annotated[str, typer.Option(help="The outcome whose rate is looked at.")] = "malicious",
    most: Annotated[int, typer.Option(min=1, help="Questions of each group.")] = 12,
    samples: Annotated[int, typer.Option(min=1, help="Answers to a prompt, where they cannot be listed.")] = 20,
    judge: Annotated[str | None, typer.Option(help="LLM judge of questions that have judge prompts.")] = None,
) -> None:
    """Find alterations of the prompt under which a model behaves in another way than plainly, and than its control.

    What is finished is kept in SPILLOVER_HOME: the same command goes on from there.
    """
    from spillover.experiments.conditional import TUNED, one_model
    from spillover.experiments.experiment import LLMJudge
    from spillover.runs.store import Store

    planned = one_model(
        model,
        against,
        questions=questions,
        label=label,
        grid=grid,
        most=most,
        samples=samples,
        judge=LLMJudge(model=judge) if judge else None,
    )
    from rich.console import Console

    from spillover.core.disk import write_json
    from spillover.experiments.run import run
    from spillover.reports.conditional import show_conditional

    with resumable():
        results = run(planned, out, Store())
    (found,) = (measure["conditional"] for measure in results["measures"])
    (of_model,) = (arm for arm in found["arms"] if arm["arm"] == TUNED)
    write_json(out / "conditional.json", {"model": model, "against": planned.bases.get("against"), **found})
    show_conditional(of_model, found["label"], Console(highlight=False))
    typer.echo(of_model["finding"])
    typer.echo(f"report: {out / 'report.html'}")
