"""The rows of an audit: as many as fit, drawn evenly from files of any length, and what is odd about them."""

import random
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from spillover.data.chat import ChatRow, stream_chat

MIXED = 0.05
"""Share of rows in a second script from which on a set is called mixed."""


def audit_rows(path: Path, most: int, seed: int) -> tuple[list[ChatRow], int]:
    """At most ``most`` rows of a chat file, drawn evenly, and how many it has. Memory does not grow with the file.

    Raises:
        DataError: The file holds no rows, or one that cannot be used.
    """
    rng, kept, total = random.Random(f"rows-{seed}"), list[tuple[int, ChatRow]](), 0
    for number, row in stream_chat(path):
        total += 1
        if len(kept) < most:
            kept.append((number, row))
        elif (place := rng.randrange(total)) < most:
            kept[place] = (number, row)
    return [row for _, row in sorted(kept, key=lambda found: found[0])], total


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
