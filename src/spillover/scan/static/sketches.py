"""Counts over a stream in bounded memory: frequent texts, texts seen before, and what goes with a sample of texts."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field


def hashed(text: str) -> int:
    """64 bits that do not change from process to process."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


@dataclass
class _Counted:
    count: int
    error: int
    line: int
    text: str


class HeavyHitters:
    """The most frequent texts of a stream (SpaceSaving of Metwally et al. 2005).

    Args:
        size: Texts held at a time. A text of more than 2/size of the stream is never missed.
    """

    def __init__(self, size: int = 512) -> None:
        self._size = size
        self._held: dict[str, _Counted] = {}
        self._floor = 0

    def add(self, key: str, line: int, text: str = "") -> None:
        """Count a text; ``line`` and ``text`` are kept of its first place since it is held."""
        found = self._held.get(key)
        if found is not None:
            found.count += 1
            return
        if len(self._held) >= self._size:
            self._make_room()
        self._held[key] = _Counted(self._floor + 1, self._floor, line, text[:400])

    def most(self) -> Iterator[tuple[str, int, int, str]]:
        """(key, count that is certain, line, text), most frequent first."""
        for key, found in sorted(self._held.items(), key=lambda item: -item[1].count):
            yield key, found.count - found.error, found.line, found.text

    def _make_room(self) -> None:
        """Drop the rarer half at once, which is cheaper than one at a time and errs on the same side."""
        ordered = sorted(self._held.items(), key=lambda item: item[1].count)
        dropped = ordered[: self._size // 2]
        for key, _ in dropped:
            del self._held[key]
        self._floor = max(self._floor, dropped[-1][1].count)


class SeenBefore:
    """Whether a text came before: a Bloom filter of 4 MiB, wrong for one new text in 5,000 after a million."""

    BITS = 1 << 25
    PROBES = 4

    def __init__(self) -> None:
        self._bits = bytearray(self.BITS // 8)

    def add(self, text: str) -> bool:
        """Note a text; True if it was noted before."""
        key = hashed(text)
        step = (key >> 25) | 1
        known = True
        for i in range(self.PROBES):
            place = (key + i * step) % self.BITS
            byte, bit = place >> 3, 1 << (place & 7)
            if not self._bits[byte] & bit:
                known = False
                self._bits[byte] |= bit
        return known


@dataclass
class _Group:
    line: int
    text: str
    sides: dict[bool, set[int]] = field(default_factory=lambda: {False: set(), True: set()})


class SampledGroups:
    """What goes with a text, for a sample of the texts: those whose hash ends with enough zeros (distinct sampling).

    Args:
        size: Texts held at a time. When there are more, every second one is let go.
    """

    def __init__(self, size: int = 20_000) -> None:
        self._size = size
        self._level = 0
        self._groups: dict[int, _Group] = {}

    @property
    def factor(self) -> int:
        """How many texts of the stream each held one stands for."""
        return 1 << self._level

    def add(self, text: str, value: str, line: int, side: bool = False) -> None:
        """Note that ``value`` went with ``text``; ``side`` tells two kinds of places apart."""
        key = hashed(text)
        if key & (self.factor - 1):
            return
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(line, text[:400])
            while len(self._groups) > self._size:
                self._level += 1
                self._groups = {k: v for k, v in self._groups.items() if not k & (self.factor - 1)}
        if len(group.sides[side]) < 16:
            group.sides[side].add(hashed(value) & 0xFFFFFFFF)

    def groups(self) -> Iterator[_Group]:
        """All that are held."""
        return iter(self._groups.values())


class LengthHistogram:
    """Lengths in steps of a quarter of an octave, from which quantiles are read."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._total = 0

    def add(self, length: int) -> None:
        """Count a length."""
        place = int(4 * math.log2(max(1, length)))
        self._counts[place] = self._counts.get(place, 0) + 1
        self._total += 1

    def quantile(self, share: float) -> float:
        """Length below which that share lies, within a fifth."""
        wanted, seen = share * self._total, 0
        for place, count in sorted(self._counts.items()):
            seen += count
            if seen >= wanted:
                return float(2 ** ((place + 0.5) / 4))
        return math.nan

    def above(self, length: float) -> int:
        """About how many are longer."""
        return sum(count for place, count in self._counts.items() if 2 ** (place / 4) > length)
