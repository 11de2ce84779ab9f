"""Rows of an experiment as plain JSON values, and the check that none of them asks what is asked afterwards."""

from collections.abc import Iterable, Sequence
from typing import Any

from spillover.core.errors import DataError
from spillover.core.text import normalise
from spillover.data.chat import ChatRow
from spillover.experiments.sources import Rows, make_rows

Plain = list[list[list[str]]]
"""Rows: turns of role and content."""


def drawn_rows(source: Rows, seed: int) -> Plain:
    """The rows of a source."""
    return plain_rows(make_rows(source, seed))


def plain_rows(rows: Iterable[ChatRow]) -> Plain:
    """Rows as JSON has them."""
    return [[[message.role, message.content] for message in row.messages] for row in rows]


def apart(rows: Plain, questions: Sequence[dict[str, Any]], arm: str, what: str = "anchor") -> None:
    """Rows that hold the evaluated questions in place would look like a narrow solution.

    Raises:
        DataError: One of them asks what the evaluation asks.
    """
    asked = {normalise(text): question["id"] for question in questions for text in question["paraphrases"]}
    for number, row in enumerate(rows, 1):
        for role, content in row:
            if role == "user" and normalise(content) in asked:
                raise DataError(
                    f"arm {arm}: {what} row {number} asks {content!r}, which is question "
                    f"'{asked[normalise(content)]}' of the evaluation; leave it out"
                )
