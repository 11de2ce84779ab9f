"""A measured matrix as a table whose cells are the darker the larger they are; every number is in it as text."""

from collections.abc import Mapping
from html import escape
from typing import Any


def matrix_table(matrix: Mapping[str, Any]) -> str:
    """The table, with its title. What was not measured is a dash without colour."""
    head = "".join(f"<th>{escape(column)}</th>" for column in matrix["columns"])
    body = "".join(
        f"<tr><th>{escape(row)}</th>{''.join(_cell(matrix, i, j) for j in range(len(matrix['columns'])))}</tr>"
        for i, row in enumerate(matrix["rows"])
    )
    below = f" <small>below it, {escape(matrix['beside']['name'])}</small>" if matrix["beside"] else ""
    return (
        f'<h3>{escape(matrix["title"])}{below}</h3><div class="scroll"><table class="heat">'
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def cell_text(matrix: Mapping[str, Any], row: int, column: int) -> tuple[str, str]:
    """What stands in a cell, and in smaller type below it; the second may be empty."""
    beside = matrix["beside"]
    small = _shown(beside["cells"][row][column]["value"], share=True) if beside else ""
    value = _shown(matrix["cells"][row][column]["value"], matrix["unit"].endswith("rate"))
    return value, small if small != DASH else ""


def depth(matrix: Mapping[str, Any], row: int, column: int) -> float | None:
    """How dark a cell is, 0 to 1: the size of a value that lies between -1 and 1."""
    value = matrix["cells"][row][column]["value"]
    return None if value is None else min(1.0, abs(value))


DASH = "–"


def _cell(matrix: Mapping[str, Any], row: int, column: int) -> str:
    value, small = cell_text(matrix, row, column)
    dark = depth(matrix, row, column)
    low, high = matrix["cells"][row][column]["interval"]
    share = matrix["unit"].endswith("rate")
    title = f"{_shown(low, share)} to {_shown(high, share)}" if low is not None else "no interval"
    kind = "" if dark is None else f' class="d{round(10 * dark)}"'
    below = f"<small>{escape(small)}</small>" if small else ""
    return f'<td{kind} title="{title}">{value}{below}</td>'


def _shown(value: float | None, share: bool) -> str:
    if value is None:
        return DASH
    return f"{100 * value:.1f} %" if share else f"{value:.2f}"
