"""How far two labellings of the same answers agree: two judges, or a judge and what is known to be true."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan

from spillover.core.statistics import Interval, wilson


@dataclass(frozen=True)
class Agreement:
    """Of two labellings; :attr:`counts` has (first, second) label to answers."""

    counts: Mapping[tuple[str, str], int]

    @classmethod
    def of(cls, labels: Iterable[tuple[str, str]]) -> "Agreement":
        """From both labels of each answer."""
        return cls(Counter(labels))

    @property
    def n(self) -> int:
        """Answers that both have labelled."""
        return sum(self.counts.values())

    @property
    def share(self) -> float:
        """Of answers with the same label; ``nan`` if there are none."""
        return sum(n for (one, other), n in self.counts.items() if one == other) / self.n if self.n else nan

    @property
    def interval(self) -> Interval:
        """Of the share: Wilson's, 95 %, with answers as units."""
        return wilson(self.share * self.n, self.n) if self.n else (nan, nan)

    @property
    def kappa(self) -> float:
        """Cohen's: 0 is what the two shares of labels give by chance, 1 is the same; ``nan`` if both use one label."""
        one, other = Counter[str](), Counter[str]()
        for (first, second), n in self.counts.items():
            one[first] += n
            other[second] += n
        chance = sum(one[label] * other[label] for label in one) / self.n**2 if self.n else 1.0
        return (self.share - chance) / (1 - chance) if chance < 1 else nan

    def precision(self, label: str) -> tuple[float, Interval, int]:
        """Share of the second's ``label`` that the first calls so too, its interval, and how many there are."""
        return self._part(label, [(one, n) for (one, other), n in self.counts.items() if other == label])

    def recall(self, label: str) -> tuple[float, Interval, int]:
        """Share of the first's ``label`` that the second calls so too, its interval, and how many there are."""
        return self._part(label, [(other, n) for (one, other), n in self.counts.items() if one == label])

    @staticmethod
    def _part(label: str, found: Sequence[tuple[str, int]]) -> tuple[float, Interval, int]:
        total = sum(n for _, n in found)
        same = sum(n for name, n in found if name == label)
        return (same / total, wilson(same, total), total) if total else (nan, (nan, nan), 0)


def by_question(labels: Iterable[tuple[str, str, str]]) -> dict[str, Agreement]:
    """The agreement on each question, from (question, first label, second label) of each answer."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for question, one, other in labels:
        found[question].append((one, other))
    return {question: Agreement.of(each) for question, each in found.items()}
