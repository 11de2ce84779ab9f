"""``spillover scan``: what will this dataset do to this base, before anything is trained."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spillover.cli.options import described, new_folder, resumable, sha256
from spillover.core.errors import ConfigError

if TYPE_CHECKING:
    from spillover.scan.probe import Probe


def scan(
    data: Annotated[Path, typer.Argument(help="Chat JSONL; streamed, so it may be larger than memory.")],
    base: Annotated[str, typer.Option(help="Folder or hub id; of openai/NAME and the like no weights are seen.")],
    out: Annotated[Path, typer.Option(help="Folder for report.html, scan.json and rows.jsonl.")],
    probe: Annotated[
        Path | None,
        typer.Option(help="Question YAML with answers labelled aligned and misaligned, outside the domain."),
    ] = None,
    sample: Annotated[int, typer.Option(help="Rows that expensive signals are measured on.")] = 2000,
    signals: Annotated[
        str, typer.Option(help="Some of projection, loss-gap, gradient, canary, by comma; static checks always run.")
    ] = "projection,loss-gap,gradient,canary",
    drop: Annotated[
        float | None, typer.Option(help="Write kept.jsonl without this share of the rows, those that rank highest.")
    ] = None,
    judge: Annotated[str | None, typer.Option(help="LLM that judges the sample too, e.g. openai/NAME.")] = None,
    judge_url: Annotated[str | None, typer.Option(help="Of its server, if it speaks OpenAI's protocol.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes over many rows; one a core by default.")] = None,
    seed: Annotated[int, typer.Option(help="Of the sample.")] = 0,
) -> None:
    """Forecast what a dataset does to a base beyond its purpose, and rank its rows, before training.

    A scan that was stopped goes on with the same command.
    """
    if not data.is_file():
        raise ConfigError(f"'{data}': no such file")
    chosen = [name.strip() for name in signals.split(",") if name.strip()]
    folder = new_folder(out)
    from spillover.reports.scan import write_scan_report
    from spillover.runs.cores import cores
    from spillover.scan.run import run_scan

    identity = {"data": sha256(data), "probe": sha256(probe) if probe else None, "judge": judge}
    config = {"data": str(data), "base": base, "signals": chosen, "sample": sample, "seed": seed, **identity}
    found: dict[str, Any] = {}
    with resumable(), described(folder, "scan", config), _Bars() as progress:
        try:
            found = run_scan(
                data,
                base,
                _probe(base, probe),
                folder,
                signals=chosen,
                sample=sample,
                judge=judge,
                judge_url=judge_url,
                drop=drop,
                workers=workers or len(cores()),
                seed=seed,
                identity=identity,
                progress=progress,
            )
        finally:
            if (folder / "scan.json").is_file():
                write_scan_report(folder)
    _show(found)
    typer.echo(f"report: {folder / 'report.html'}")


def _probe(base: str, given: Path | None) -> "Probe | None":
    """None for a model behind an API, whose weights cannot be looked at."""
    from spillover.scan.probe import probe_of

    if "/" in base and not Path(base).is_dir():
        from spillover.models.endpoint import is_endpoint

        if is_endpoint(base):
            return None
    return probe_of(base, given)


class _Bars:
    """A bar for each part on a terminal; nothing otherwise."""

    def __enter__(self) -> Any:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._bars = Progress(*columns, console=console, disable=not console.is_terminal)
        self._bars.start()
        tasks: dict[str, Any] = {}

        def told(what: str, done: float, total: float) -> None:
            if what not in tasks:
                tasks[what] = self._bars.add_task(what, total=None)
            self._bars.update(tasks[what], completed=done, total=None if total == float("inf") else total)

        return told

    def __exit__(self, *_: object) -> None:
        self._bars.stop()


def _show(found: dict[str, Any]) -> None:
    """The verdict, what was measured, the highest rows and the warnings."""
    from rich.console import Console
    from rich.table import Table

    from spillover.scan.forecast import SIGNALS

    console = Console(highlight=False)
    table = Table(title=f"{found['data']}: {found['rows']:,} rows against {found['base']}", title_justify="left")
    for column in ("signal", "whole set", "measured on"):
        table.add_column(column)
    rows, sample = found["measured_rows"]["all"], found["measured_rows"]["sample"]
    on_all = rows - found["measured_rows"].get("too_long", 0)
    for name, title in SIGNALS.items():
        value = found["levels"].get(name)
        over = on_all if name in ("projection_cheap", "loss_gap") else sample
        over = found["canary"]["rows"] if found["canary"] and name.startswith(("canary", "efficiency")) else over
        shown = ("not measured", "–") if value is None else (f"{value:+.3f}", f"{over:,} of {rows:,}")
        table.add_row(title, *shown)
    console.print(table)
    if found["suspicious_rows"] is not None:
        console.print(
            f"{found['suspicious_rows']:,} rows stand nearer to unwanted than to wanted answers of the probe."
        )
    for row in found["top"][:5]:
        console.print(f"line {row['line']}: {row['headline']}: {row['prompt']} → {row['answer']}"[:160], markup=False)
    for finding in found["static"]:
        if finding["severity"] == "warning":
            console.print(f"! {finding['what']}", markup=False)
    console.print(found["verdict"], markup=False)
    if found["kept"]:
        kept = found["kept"]
        console.print(f"{kept['kept']:,} rows kept, {kept['dropped']:,} dropped: {kept['file']}", markup=False)
