"""``spillover run``: an experiment of the catalogue, or one's own, to a report."""

from pathlib import Path
from typing import Annotated, Any

import typer

from spillover.cli.options import knobs, resumable


def run(
    experiment: Annotated[str, typer.Argument(help="Name (see `spillover experiments`), or a YAML file.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the results; runs/NAME by default.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would be made, and stop.")] = False,
    seeds: Annotated[int | None, typer.Option(help="Fine-tuned models of each arm.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Field of the experiment, e.g. samples=50 or bases.main.seed=1.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one a core by default.")] = None,
) -> None:
    """Run an experiment with its controls: what is missing is made, then measured and reported."""
    from spillover.experiments.catalogue import find
    from spillover.runs.store import Store

    changes: dict[str, Any] = knobs(settings or [])
    if seeds is not None:
        changes["seeds"] = seeds
    chosen = find(experiment, changes)
    store = Store()
    if plan:
        from spillover.cli.plan import show_plan
        from spillover.experiments.stages import Planner

        show_plan(Planner(chosen).targets, store)
        return
    folder = out or Path("runs") / chosen.name
    from rich.console import Console

    from spillover.experiments.run import run as run_experiment
    from spillover.runs.local import Local
    from spillover.reports.terminal import show

    with resumable():
        results = run_experiment(chosen, folder, store, Local(workers))
    show(results, Console())
    typer.echo(f"report: {folder / 'report.html'}")
