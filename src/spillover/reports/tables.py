"""The numbers of a run as CSV files."""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from spillover.core.errors import StorageError
from spillover.reports.defences import defence_rows

OF_A_RATE = ("arm", "value", "difference", "p", "smallest_p")
OF_A_QUESTION = ("arm", "measure", "value", "difference", "p", "p_holm", "p_max", "smallest_p")
"""What is written of a control."""


def write_tables(results: dict[str, Any], folder: Path) -> list[Path]:
    """Write rates, questions, claims, outcomes, curves, numbers, conditions and matrices, a file each.

    What was not measured is empty. Tables of a measure that are read rather than averaged have a file each.

    Raises:
        StorageError: The folder cannot be written.
    """
    tables = {
        "rates": [_flat(rate) for rate in results["rates"]],
        "questions": [_with_control(question, OF_A_QUESTION) for question in results["questions"]],
        "claims": [_flat(claim) for claim in results["claims"]],
        "outcomes": [
            {**{name: row[name] for name in ("arm", "where", "condition")}, "outcome": outcome, "answers": count}
            for row in results["outcomes"]
            for outcome, count in row["counts"].items()
        ],
        "curves": [
            {
                "measure": measure["name"],
                "metric": curve["metric"],
                "series": series["name"],
                **dict(zip(("x", "value", "low", "high"), point, strict=True)),
                "n_models": series["n_models"],
                "n_draws": series["n_draws"],
            }
            for measure in results["measures"]
            for curve in measure["curves"]
            for series in curve["series"]
            for point in zip(series["x"], series["y"], series["lo"], series["hi"], strict=True)
        ],
        "numbers": [
            {"measure": measure["name"], **_flat(number)}
            for measure in results["measures"]
            for number in measure["numbers"]
        ],
        "conditions": [
            {"measure": measure["name"], **row} for measure in results["measures"] for row in _conditions(measure)
        ],
        "matrices": [
            {"measure": measure["name"], **cell} for measure in results["measures"] for cell in _cells(measure)
        ],
    }
    boards = [{"measure": measure["name"], **row} for measure in results["measures"] for row in defence_rows(measure)]
    if boards:
        tables["defences"] = boards
    for measure in results["measures"]:
        for table in measure.get("tables", ()):
            name = re.sub(r"[^\w.-]+", "-", f"{measure['name']}-{table['name']}")
            tables[name] = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in tables.items():
            path = folder / f"{name}.csv"
            with path.open("w", newline="", encoding="utf-8") as handle:
                columns = list(dict.fromkeys(column for row in rows for column in row))
                writer = csv.DictWriter(handle, columns)
                writer.writeheader()
                writer.writerows(rows)
            paths.append(path)
    except OSError as error:
        raise StorageError(f"{folder}: cannot write there ({error.strerror})") from None
    return paths


def _cells(measure: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for matrix in measure.get("matrices", ()):
        beside = matrix["beside"]
        for i, row in enumerate(matrix["rows"]):
            for j, column in enumerate(matrix["columns"]):
                yield {
                    "matrix": matrix["name"],
                    "row": row,
                    "column": column,
                    "unit": matrix["unit"],
                    **_flat(matrix["cells"][i][j]),
                    "beside": beside["name"] if beside else "",
                    "beside_value": beside["cells"][i][j]["value"] if beside else None,
                    "n_models": matrix["n_models"],
                }


def _conditions(measure: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for arm in measure.get("conditional", {}).get("arms", ()):
        for cell in arm["conditions"]:
            row = {"arm": arm["arm"], **{name: cell[name] for name in ("condition", "family", "text", "value")}}
            row["low"], row["high"] = cell["interval"] or (None, None)
            for name in ("plain", "control", "moved"):
                part = cell[name] or {}
                if name == "control":
                    row["control_value"] = part.get("value")
                row[f"{name}_difference" if name != "moved" else "moved"] = part.get("difference", part.get("value"))
                row[f"{name}_low"], row[f"{name}_high"] = part.get("interval") or (None, None)
            yield {**row, "p": cell["p"], "unit": arm["unit"], "found": cell["found"]}


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """Intervals and controls as columns of their own."""
    flat = {name: value for name, value in record.items() if name not in ("interval", "control")}
    flat["low"], flat["high"] = record["interval"] or (None, None)
    if "control" in record:
        flat |= _with_control({"control": record["control"]}, OF_A_RATE)
        flat["control_low"], flat["control_high"] = (record["control"] or {}).get("interval") or (None, None)
    return flat


def _with_control(record: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Its control as columns of their own; empty in results that were written before there were any."""
    flat = {name: value for name, value in record.items() if name != "control"}
    control = record.get("control") or {}
    return flat | {f"control_{name}": control.get(name) for name in names}
