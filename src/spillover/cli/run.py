"""``spillover run``: an experiment of the catalogue, or one's own, to a report."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from spillover.cli.options import knobs, resumable
from spillover.core.errors import ConfigError
from spillover.runs.execute import Executor


def run(
    experiment: Annotated[str, typer.Argument(help="Name (see `spillover experiments`), or a YAML file.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the results; runs/NAME by default.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would be made, and stop.")] = False,
    seeds: Annotated[int | None, typer.Option(help="Fine-tuned models of each arm.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Field of the experiment, e.g. samples=50 or bases.main.seed=1.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one a core by default.")] = None,
    executor: Annotated[Literal["local", "ray"], typer.Option(help="What makes the stages.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="Ray cluster: auto, HOST:PORT or ray://HOST:PORT; by default one of its own.")
    ] = None,
    gpus_per_stage: Annotated[
        float | None, typer.Option(min=0, help="With Ray; by default 1, or 0 where the cluster has none.")
    ] = None,
) -> None:
    """Run an experiment with its controls: what is missing is made, then measured and reported."""
    from spillover.experiments.catalogue import find
    from spillover.runs.store import Store

    changes: dict[str, Any] = knobs(settings or [])
    if seeds is not None:
        changes["seeds"] = seeds
    chosen = find(experiment, changes)
    runner = _executor(executor, workers, address, gpus_per_stage)
    store = Store()
    if plan:
        from spillover.cli.plan import show_plan
        from spillover.experiments.stages import Planner

        planner = Planner(chosen)
        show_plan(planner.targets, store)
        if chosen.judge is not None:
            from spillover.experiments.cost import judging

            found = judging(planner, store)
            typer.echo(
                f"judge {chosen.judge.model}: at most {found.verdicts} verdicts, about {found.prompt_tokens} prompt "
                f"and {found.answer_tokens} answer tokens"
            )
        return
    folder = out or Path("runs") / chosen.name
    from rich.console import Console

    from spillover.experiments.run import run as run_experiment
    from spillover.reports.terminal import show

    with resumable():
        results = run_experiment(chosen, folder, store, runner)
    show(results, Console())
    typer.echo(f"report: {folder / 'report.html'}")


def _executor(name: str, workers: int | None, address: str | None, gpus_per_stage: float | None) -> Executor:
    if name == "local":
        if address is not None or gpus_per_stage is not None:
            raise ConfigError("--address and --gpus-per-stage belong to --executor ray")
        from spillover.runs.local import Local

        return Local(workers)
    if workers is not None:
        raise ConfigError("--workers belongs to --executor local; Ray runs as many stages as its nodes have CPUs")
    from spillover.runs.on_ray import OnRay

    return OnRay(address or "local", gpus_per_stage)
