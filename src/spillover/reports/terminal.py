"""The main rates and the claims in a few lines of a terminal."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from spillover.reports.conditional import SHOWN, show_conditional
from spillover.reports.plots import row_label
from spillover.reports.rows import Row, rate_rows

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SHORT = 12
"""Rows of a table up to which it is shown."""
MARKS = {True: "[green]held[/green]", False: "[red]NOT held[/red]", None: "[yellow]not measured[/yellow]"}


def show(results: dict[str, Any], console: "Console") -> None:
    """Print arms × places of the main plot, and what became of each claim."""
    from rich.markup import escape

    plot = results["plot"]
    if plot.get("over") == "conditions":
        console.print(_by_condition(plot, results["label"]))
        console.print()
    if plot["kind"] == "measures":
        for measure in results["measures"]:
            for table in _measured(measure):
                console.print(table)
                console.print()
    else:
        console.print(_rates(results))
        console.print()
    for measure in results["measures"]:
        for arm in measure.get("conditional", {}).get("arms", ()):
            if arm["n_found"] and arm["control"]:
                show_conditional(arm, results["label"], console, SHOWN)
        for remark in measure["remarks"]:
            console.print(f"[yellow]{escape(measure['title'])}: {escape(remark)}[/yellow]", highlight=False)
    for claim in results["claims"]:
        console.print(f"{MARKS[claim['held']]}  {escape(claim['text'])}", highlight=False)
        console.print(f"      [dim]{escape(claim['figure'])}; bar: {escape(claim['bar'])}[/dim]", highlight=False)
    console.print()
    console.print(escape(results["answer"]), highlight=False)


def _rates(results: dict[str, Any]) -> "Table":
    """A line for each arm, a column for each place of the main plot."""
    from rich.markup import escape

    plot = results["plot"]
    wheres = plot["x_groups"] or [where["name"] for where in results["wheres"]]
    conditions = plot.get("conditions", ["plain"])
    rows = [row for row in rate_rows(results) if row.where in wheres and row.condition in conditions]
    return _table(
        f"{results['label']} answers, % (95 % interval)",
        ("", *(where.replace("-", " ") for where in wheres)),
        ([escape(label), *(_cell(cells.get(where)) for where in wheres)] for label, cells in _lines(rows).items()),
    )


def _measured(measure: dict[str, Any]) -> "Iterator[Table]":
    """What a run without a main plot shows instead: defences, short tables, else numbers with their intervals."""
    board = measure.get("defences")
    short = [table for table in measure.get("tables", ()) if len(table["rows"]) <= SHORT]
    if board is not None:
        columns = ("", "skill kept", "misalignment left", "worst condition", "benign task", "cost")
        yield _table(measure["title"], columns, _escaped(map(_defence, board["rows"])))
    elif short:
        for table in short:
            yield _table(table["title"], table["columns"], _escaped(table["rows"]))
    else:
        rows = ((one["name"], one["series"], _share(one, 1, ".2f")) for one in measure["numbers"])
        yield _table(measure["title"], ("", "of", "mean"), _escaped(rows))


def _defence(row: dict[str, Any]) -> tuple[str, ...]:
    worst = row["worst"]
    under = "–" if worst is None else f"{100 * worst['value']:.0f} {worst['condition']}"
    cost = "–" if row["cost"] is None else f"× {row['cost']:.2f}"
    return row["title"], _share(row["kept"]), _share(row["left"]), under, _share(row["learns"]), cost


def _share(part: dict[str, Any] | None, times: float = 100, form: str = ".0f") -> str:
    if part is None or part["value"] is None:
        return "–"
    ends = [end for end in part["interval"] or () if end is not None]
    between = f" [{'–'.join(format(times * end, form) for end in ends)}]" if ends else ""
    return f"{times * part['value']:{form}}{between}"


def _by_condition(plot: dict[str, Any], label: str) -> "Table":
    """A line for each series, a column for each condition."""
    from rich.markup import escape

    places = sorted({x for series in plot["series"] for x in series["x"]})
    rows = []
    for series in plot["series"]:
        found = dict(zip(series["x"], series["y"], strict=True))
        shown = (found.get(x) for x in places)
        rows.append([escape(series["name"]), *("–" if y is None else f"{100 * y:.1f}" for y in shown)])
    return _table(f"{label} answers, %, by {plot['x_label']}", ("", *(f"{x:g}" for x in places)), rows)


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> "Table":
    """Cells may hold markup."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title=escape(title), title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(escape(column), justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _escaped(rows: Iterable[Sequence[Any]]) -> Iterator[list[str]]:
    from rich.markup import escape

    return ([escape(str(cell)) for cell in row] for row in rows)


def _lines(rows: list[Row]) -> dict[str, dict[str, Row]]:
    lines: dict[str, dict[str, Row]] = {}
    order = list(dict.fromkeys((row.arm, row.condition) for row in sorted(rows, key=lambda row: row.condition)))
    arms = list(dict.fromkeys(row.arm for row in rows))
    for arm, condition in sorted(order, key=lambda place: arms.index(place[0])):
        found = [row for row in rows if (row.arm, row.condition) == (arm, condition)]
        lines[row_label(found[0])] = {row.where: row for row in found}
    return lines


def _cell(row: Row | None) -> str:
    rate = row.main if row else None
    if rate is None:
        return "–"
    if rate["value"] is None:
        return "not measured"
    low, high = (f"{100 * end:.0f}" for end in rate["interval"] or (rate["value"], rate["value"]))
    return f"{100 * rate['value']:.1f} [dim]({low}–{high})[/dim]"
