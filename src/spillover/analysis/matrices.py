"""Tables of measured numbers: rows × columns, with a second number beside each where it is needed to read the first."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Cell = Sequence[tuple[float, float]]
"""(value, number beside it); one, or one a draw. ``nan`` where it was not measured, empty where there is nothing."""


def matrix(
    name: str, title: str, unit: str, cells: Mapping[str, Mapping[str, Cell]], beside: str = ""
) -> dict[str, Any]:
    """A matrix as :func:`spillover.analysis.stages.write_measured` takes it.

    Args:
        name: Of its files.
        title: For people.
        unit: What the values are; those that end in ``rate`` are shares, written in per cent.
        cells: By row and column; every row has the same columns.
        beside: What the second numbers are; they are left out if it is empty.
    """
    columns = list(next(iter(cells.values())))
    found: dict[str, Any] = {
        "name": name,
        "title": title,
        "unit": unit,
        "rows": list(cells),
        "columns": columns,
        "values": _numbers(cells, columns, 0),
    }
    return {**found, "beside": beside, "beside_values": _numbers(cells, columns, 1)} if beside else found


def _numbers(cells: Mapping[str, Mapping[str, Cell]], columns: Sequence[str], which: int) -> list[list[list[Any]]]:
    return [
        [[float(draw[which]) if np.isfinite(draw[which]) else None for draw in row[column]] for column in columns]
        for row in cells.values()
    ]
