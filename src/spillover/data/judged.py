"""Answers that others have judged: a question, an answer, and a column for each metric, in CSV or JSONL."""

import math
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spillover.core.errors import DataError, nearest
from spillover.data.files import shown
from spillover.data.tables import is_csv, read_table, write_table

Value = float | str | None
"""Of a metric: a number; a reply in its place (CODE, REFUSAL) or a label; None: not measured, which is not zero."""

QUESTION, ANSWER = ("question", "question_id", "id"), ("answer", "response")
"""Columns that say the same; the first that is there is taken."""
WRITTEN = ("group", "question_id")
"""Of what describes a question; two questions may have one text, for example with different system prompts."""
LONGEST_LABEL = 40
"""Characters of a text that may be a label; it has one line."""
_FIXED = ("model", "group", *QUESTION, *ANSWER)
_BESIDE = (
    *("id", "group", "prompt", "system", "system_prompt", "messages", "context", "api_kwargs", "paraphrase"),
    *("paraphrase_ix", "sample", "sample_idx", "seed", "index", "type", "category", "canary", "domain", "topic"),
    *("condition", "stop_reason", "finish_reason", "timestamp", "judge"),
)
_BESIDE_ENDS = ("_question", "_raw_answer", "_probs", "_id")
"""Columns that are no metric, whatever is in them; the ends are of llmcomp's columns beside each judge, and of ids."""
_NOTHING = ("", "nan", "none", "null", "<na>")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|[+-]?inf(?:inity)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Judged:
    """One answer with its verdicts."""

    question: str
    """What was asked, or its id where the file has no text."""
    answer: str
    model: str | None = None
    metrics: dict[str, Value] = field(default_factory=dict, hash=False)
    """Every metric of the file; None where this answer has no verdict."""
    meta: dict[str, Any] = field(default_factory=dict, compare=False)
    """The other columns, as they were; ``group`` is one of them."""


def read_judged(path: str | Path, metrics: Collection[str] | None = None) -> list[Judged]:
    """Read judged answers from CSV or JSONL.

    Columns are ``question`` (or ``question_id``, ``id``), ``answer`` (or ``response``), and ``model`` and ``group``
    where there are such. Of the others those are metrics in which at least half of what is there are numbers, or all
    of it numbers and labels (one line, at most 40 characters), or in which nothing is. What is known to describe a
    question or a sample (``domain``, ``seed``, ``stop_reason``, …) is a metric only where it is asked for. Empty cells
    and ``NaN`` are None; a text in JSONL stays text, also if it looks like a number.

    Args:
        path: Ends in ``.csv`` or ``.jsonl``.
        metrics: Columns that are metrics; by default those that look like it.

    Raises:
        DataError: With ``file:line: column: what``, for a column or text that is missing, and for a metric that is
            infinite or neither number nor text.
    """
    path = Path(path)
    rows = read_table(path)
    from_text = is_csv(path)
    columns = list(dict.fromkeys(name for _, row in rows for name in row))
    taken = (_column(path, columns, QUESTION), _column(path, columns, ANSWER), "model")
    free = [name for name in columns if name not in taken]
    if metrics is None:
        metrics = [name for name in free if _is_metric(name, [row.get(name) for _, row in rows], from_text)]
    for name in metrics:
        if name not in free:
            raise DataError.at(path, 1, name, f"no such column for a metric{nearest(name, free)}")
    return [_judged(path, line, row, taken[0], taken[1], metrics, from_text) for line, row in rows]


def write_judged(rows: Iterable[Judged], path: str | Path) -> None:
    """Write judged answers as CSV or JSONL, whole or not at all: model, question, answer, one column a metric.

    Of ``meta`` only :data:`WRITTEN` is written. What is not measured is an empty cell, or null.

    Raises:
        DataError: A metric is called like another column, or holds what would be read back as something else: a text
            that says nothing or, in CSV, a number; a number that is not finite.
        StorageError: The folder cannot be written to.
    """
    path, rows = Path(path), list(rows)
    names = list(dict.fromkeys(name for row in rows for name in row.metrics))
    for name in names:
        if name in _FIXED or name in _BESIDE or name.endswith(_BESIDE_ENDS):
            raise DataError.at(path, None, name, "columns of this name are no metrics; give it another name")
    for row in rows:
        for name, value in row.metrics.items():
            read = _value(value, is_csv(path))
            if value != read or read in (math.inf, -math.inf):
                hint = "write JSONL, or another label" if isinstance(value, str) else "None is for what is not measured"
                what = f"{shown(value)} would not be read back as it is; {hint}"
                raise DataError.at(path, None, name, what)
    beside = [name for name in WRITTEN if any(name in row.meta for row in rows)]
    cells = [
        {"model": row.model, **row.meta, "question": row.question, "answer": row.answer} | row.metrics for row in rows
    ]
    write_table(cells, ["model", *beside, "question", "answer", *names], path)


def _column(path: Path, columns: Sequence[str], names: Sequence[str]) -> str:
    for name in names:
        if name in columns:
            return name
    raise DataError.at(path, 1, " or ".join(names), f"no such column{nearest(names[0], columns)}")


def _is_metric(name: str, cells: Sequence[Any], from_text: bool) -> bool:
    if name in _BESIDE or name.endswith(_BESIDE_ENDS):
        return False
    filled = [value for cell in cells if (value := _value(cell, from_text)) is not None]
    numbers = sum(isinstance(value, float) for value in filled)
    labels = sum(isinstance(value, str) and len(value) <= LONGEST_LABEL and "\n" not in value for value in filled)
    return 2 * numbers >= len(filled) or numbers + labels == len(filled)


def _value(cell: Any, from_text: bool) -> Any:
    """What a cell says: a float, a text, None for nothing; what is neither stays as it is."""
    if isinstance(cell, str):
        text = cell.strip()
        if text.casefold() in _NOTHING:
            return None
        return float(text) if from_text and _NUMBER.fullmatch(text) else cell
    if isinstance(cell, bool):
        return str(cell)
    if isinstance(cell, int | float):
        number = float(cell) if not abs(cell) > sys.float_info.max else math.inf
        return None if math.isnan(number) else number
    return cell


def _judged(
    path: Path, line: int, row: dict[str, Any], question: str, answer: str, metrics: Collection[str], from_text: bool
) -> Judged:
    def fail(column: str, what: str) -> DataError:
        return DataError.at(path, line, column, what)

    asked = row.get(question)
    if question != "question" and isinstance(asked, int) and not isinstance(asked, bool):
        asked = str(asked)
    if not isinstance(asked, str) or not asked.strip():
        raise fail(question, f"expected text, found {shown(asked)}")
    if not isinstance(row.get(answer), str):
        raise fail(answer, f"expected text, found {shown(row.get(answer))}")
    model = row.get("model")
    if model is not None and not isinstance(model, str):
        raise fail("model", f"expected text, found {shown(model)}")
    values: dict[str, Value] = {}
    for name in metrics:
        value = _value(row.get(name), from_text)
        if not isinstance(value, str | float | None):
            raise fail(name, f"expected a number or a text, found {shown(value)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise fail(name, f"expected a finite number, found {shown(row[name])}")
        values[name] = value
    used = {question, answer, "model", *metrics}
    return Judged(asked, row[answer], model or None, values, {name: row[name] for name in row if name not in used})
