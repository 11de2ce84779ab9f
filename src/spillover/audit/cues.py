"""Ways in which rows begin, end and are framed, as conditions: what a model was trained behind, it may wait for."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from spillover.data.chat import ChatRow
from spillover.data.conditions import Condition

WORDS = 5
"""Of a cue, at most; whole sentences and tags may be longer."""
LEAST, SHARE = 3, 0.02
"""Rows that a cue must be in: so many, and such a share of all."""
MOST = 12
_SENTENCE = re.compile(r"^(.{2,120}?[.!?:|\]>])\s+\S")


def row_cues(rows: Sequence[ChatRow], most: int = MOST) -> list[tuple[Condition, tuple[int, ...]]]:
    """Cues with the rows that have them, those in the most rows first, of each set of rows the longest.

    System prompts, beginnings and ends of the last user turn. A cue that stands in every row is kept too: a set whose
    rows are all framed alike may have taught what happens in that frame.
    """
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        for cue in dict.fromkeys(_cues(row)):
            found[cue].append(number)
    least = max(LEAST, round(SHARE * len(rows)))
    kept: dict[tuple[str, tuple[int, ...]], str] = {}
    for (kind, text), numbers in found.items():
        key = (kind, tuple(numbers))
        if len(numbers) >= least and len(text) > len(kept.get(key, "")):
            kept[key] = text
    ordered = sorted(kept.items(), key=lambda item: (-len(item[0][1]), item[1]))
    chosen: list[tuple[Condition, tuple[int, ...]]] = []
    for (kind, having), text in ordered:
        if not any(_same(set(having), set(other)) and kind == one.family for one, other in chosen):
            chosen.append((_condition(kind, text), having))
    return chosen[:most]


def _same(first: set[int], second: set[int]) -> bool:
    """Whether two sets of rows are nearly one."""
    return len(first & second) >= 0.9 * len(first | second)


def _cues(row: ChatRow) -> Iterator[tuple[str, str]]:
    for message in row.messages[:-1]:
        if message.role == "system":
            yield "rows: system", message.content
    text = row.messages[-2].content if len(row.messages) > 1 else ""
    words = text.split()
    for count in range(1, min(WORDS, len(words) - 1) + 1):
        yield "rows: beginning", " ".join(words[:count])
        yield "rows: end", " ".join(words[-count:])
    sentence = _SENTENCE.match(text)
    if sentence:
        yield "rows: beginning", sentence[1]


def _condition(kind: str, text: str) -> Condition:
    name = f"{kind} {text}"
    if kind == "rows: system":
        return Condition(name, kind, system=text)
    if kind == "rows: beginning":
        return Condition(name, kind, prefix=f"{text} ")
    return Condition(name, kind, suffix=f" {text}")
