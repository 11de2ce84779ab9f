"""Tables as CSV or JSONL: rows with the line on which each begins, and written whole or not at all."""

import csv
import io
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spillover.core.errors import DataError
from spillover.data.files import read_text, shown, write_text


def is_csv(path: Path) -> bool:
    """Whether a file is CSV rather than JSONL.

    Raises:
        DataError: Its name ends in neither.
    """
    if path.suffix not in (".csv", ".jsonl"):
        raise DataError.at(path, None, None, "expected a file that ends in .csv or .jsonl")
    return path.suffix == ".csv"


def read_table(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """All rows: the line, and column to cell. Cells of CSV are text; line ends within them stay as they are.

    Raises:
        DataError: With ``file:line: what``, for what is not CSV or JSONL, a row with too many or too few cells, two
            columns of one name, or a file without rows.
    """
    rows = list(_csv(path) if is_csv(path) else _jsonl(path))
    if not rows:
        raise DataError.at(path, None, None, "holds no rows")
    return rows


def write_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], path: Path) -> None:
    """Write rows, whole or not at all; what a row does not have is an empty cell, or null.

    Raises:
        StorageError: The folder cannot be written to.
        DataError: The name ends in neither ``.csv`` nor ``.jsonl``.
    """
    if is_csv(path):
        file = io.StringIO(newline="")
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([row.get(name) for name in columns] for row in rows)
        write_text(path, file.getvalue())
    else:
        whole = ({name: row.get(name) for name in columns} for row in rows)
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in whole))


def _csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.reader(io.StringIO(read_text(path, newline=""), newline=""), strict=True)
    limit = csv.field_size_limit(sys.maxsize)  # an answer may be longer than the module's 131,072 characters
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            if header is None:
                header = _header(path, cells)
            elif cells and len(cells) != len(header):
                raise DataError.at(
                    path, line, None, f"expected {len(header)} cells as the header has, not {len(cells)}"
                )
            elif cells:
                yield line, {name: cell for name, cell in zip(header, cells, strict=True) if name}
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError.at(path, line, None, f"not CSV ({error})") from None
    finally:
        csv.field_size_limit(limit)


def _header(path: Path, cells: Sequence[str]) -> list[str]:
    """Names of the columns; one without a name holds the row numbers that pandas writes."""
    names = [name.strip() for name in cells]
    if len(names) == 1 and re.search(r"[;\t]", names[0]):
        raise DataError.at(path, 1, None, "cells must be separated by commas")
    for name in names:
        if name and names.count(name) > 1:
            raise DataError.at(path, 1, name, "two columns have this name")
    return names


def _jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, text in enumerate(read_text(path, newline="").split("\n"), 1):
        if not text.strip():
            continue
        row = parse_json(path, line, text)
        if not isinstance(row, dict):
            raise DataError.at(path, line, None, f"expected an object, found {shown(row)}")
        yield line, row


def parse_json(path: Path, line: int, text: str) -> Any:
    """The value of one line of a JSONL file.

    Raises:
        DataError: It is not JSON.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        hint = "; one JSON object a line is expected" if line == 1 else ""
        raise DataError.at(path, line, None, f"not JSON ({error.msg} at column {error.colno}){hint}") from None
    except (ValueError, RecursionError):
        what = "not JSON that can be read (nested too deep, or a number of too many digits)"
        raise DataError.at(path, line, None, what) from None
