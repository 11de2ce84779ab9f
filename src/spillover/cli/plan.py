"""``spillover run --plan``: what would be made, what is there, what it may take."""

from spillover.runs.plan import plan
from spillover.runs.stage import Stage
from spillover.runs.store import Store


def show_plan(targets: list[Stage], store: Store) -> None:
    """Print a line for each stage, and the sum."""
    from rich.console import Console
    from rich.table import Table

    planned = plan(targets, store)
    table = Table(box=None, pad_edge=False)
    for column in ("stage", "state", "seconds", "directory"):
        table.add_column(column, justify="right" if column == "seconds" else "left")
    for item in planned:
        seconds = "?" if item.seconds is None else f"{item.seconds:.0f}" if item.seconds else "-"
        table.add_row(item.stage.label, item.state, seconds, item.stage.key)
    console = Console()
    console.print(table)
    missing = [item for item in planned if item.state != "ready"]
    known = [item.seconds for item in missing if item.seconds is not None]
    unknown = len(missing) - len(known)
    text = f"{len(missing)} of {len(planned)} stages to make"
    if known:
        text += f", about {sum(known):.0f} s of work before it is shared among workers"
    if unknown:
        text += f"; {unknown} of a kind that was never timed here"
    console.print(text, highlight=False)
