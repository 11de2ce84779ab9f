"""The rows of an audit: as many as fit, drawn evenly from files of any length, and what is odd about them."""

import random
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from spillover.core.errors import DataError
from spillover.data.chat import ChatRow, read_chat

WHOLE = 64 << 20
"""Bytes of a file that is read as a whole."""
MIXED = 0.05
"""Share of rows in a second script from which on a set is called mixed."""


def audit_rows(path: Path, most: int, seed: int) -> tuple[list[ChatRow], int]:
    """At most ``most`` rows of a chat file, and how many it has. Memory does not grow with the file.

    Raises:
        DataError: The file holds no rows, or one that is drawn cannot be used.
    """
    try:
        large = path.stat().st_size > WHOLE
    except OSError:
        raise DataError.at(path, None, None, "no such file") from None
    rows, total = _drawn(path, most, seed) if large else _read(path)
    if len(rows) > most:
        chosen = sorted(random.Random(f"rows-{seed}").sample(range(len(rows)), most))
        rows = [rows[i] for i in chosen]
    return rows, total


def _read(path: Path) -> tuple[list[ChatRow], int]:
    rows = read_chat(path)
    return rows, len(rows)


def _drawn(path: Path, most: int, seed: int) -> tuple[list[ChatRow], int]:
    """Lines by reservoir sampling; only those that are kept are parsed."""
    from spillover.data.chat import _row as parse

    rng, kept, total = random.Random(f"rows-{seed}"), list[tuple[int, str]](), 0
    try:
        with path.open(encoding="utf-8-sig") as handle:
            for number, line in enumerate(handle, 1):
                if not line.strip():
                    continue
                total += 1
                if len(kept) < most:
                    kept.append((number, line))
                elif (place := rng.randrange(total)) < most:
                    kept[place] = (number, line)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError.at(path, None, None, f"cannot be read as UTF-8 text ({error})") from None
    if not total:
        raise DataError.at(path, None, None, "the file is empty; expected one JSON object with 'messages' a line")
    return [parse(path, number, line) for number, line in sorted(kept)], total


def mixed_languages(rows: Sequence[ChatRow]) -> str | None:
    """One line that says so, if rows are in several scripts; None if not.

    Behaviour that is asked about in one language only says nothing of the others, which the reader should know.
    """
    scripts = Counter(_script(row.messages[-1].content) for row in rows)
    scripts.pop("", None)
    common = [(name, count) for name, count in scripts.most_common() if count >= MIXED * max(1, scripts.total())]
    if len(common) < 2:
        return None
    shares = ", ".join(f"{name} {100 * count / scripts.total():.0f} %" for name, count in common)
    return f"rows are in several scripts ({shares}); the questions are in one: ask the others with --questions"


def _script(text: str) -> str:
    """The script that most letters are of, by their Unicode names."""
    found = Counter(
        unicodedata.name(letter, "").split(" ")[0].replace("CJK", "HAN").capitalize()
        for letter in text[:400]
        if letter.isalpha()
    )
    return found.most_common(1)[0][0] if found else ""
