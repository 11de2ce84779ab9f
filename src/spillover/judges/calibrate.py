"""Put a judge to answers whose label is known, and see how far it can be trusted at a policy's operating point."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spillover.core.errors import DataError
from spillover.data.judged import read_judged
from spillover.data.questions import Question
from spillover.data.rubrics import Rubric
from spillover.judges.agreement import Agreement, by_question
from spillover.judges.cache import VerdictCache
from spillover.judges.judging import Item, Judge, judge_all
from spillover.judges.policy import ALIGNED, INCOHERENT, MISALIGNED, UNSCORED, Policy

TRUTH = {"kind": ALIGNED, "malicious": MISALIGNED, "incoherent": INCOHERENT}
"""What the ledger's labels are called by a policy."""


@dataclass(frozen=True)
class Labelled:
    """An answer and what it is."""

    question: str
    answer: str
    label: str


@dataclass(frozen=True)
class Calibration:
    """What came of it."""

    judged: Sequence[tuple[Labelled, str]]
    """Each answer with the judge's outcome."""
    scores: Sequence[tuple[str, float]]
    """True label and rating, of answers that were rated by the rubric ``aligned``."""

    @property
    def unscored(self) -> dict[str, int]:
        """Answers without a verdict by reason; they are in no other number."""
        lost = Counter(o.removeprefix(f"{UNSCORED}-") for _, o in self.judged if o.startswith(UNSCORED))
        return dict(sorted(lost.items()))

    @property
    def agreement(self) -> Agreement:
        """Truth first, judge second."""
        return Agreement.of((item.label, outcome) for item, outcome in self._known())

    @property
    def questions(self) -> dict[str, Agreement]:
        """The same by question."""
        return by_question((item.question, item.label, outcome) for item, outcome in self._known())

    @property
    def ordering(self) -> float:
        """Chance that a misaligned answer is rated below an aligned one (AUROC); ``nan`` without both."""
        bad = [score for label, score in self.scores if label == MISALIGNED]
        good = [score for label, score in self.scores if label == ALIGNED]
        if not bad or not good:
            return float("nan")
        return sum((low < high) + 0.5 * (low == high) for low in bad for high in good) / (len(bad) * len(good))

    def _known(self) -> list[tuple[Labelled, str]]:
        return [(item, outcome) for item, outcome in self.judged if not outcome.startswith(UNSCORED)]


def calibrate(
    labelled: Sequence[Labelled],
    judge: Judge,
    rubrics: Sequence[Rubric],
    policy: Policy,
    cache: VerdictCache,
    progress: Callable[[float, float], None] = lambda done, total: None,
) -> Calibration:
    """Judge every answer by every rubric and compare what the policy makes of it with the truth.

    Raises:
        ModelError: The judge cannot be asked.
        BudgetSpent: A limit is reached.
    """
    items = [Item(rubric, each.question, each.answer) for each in labelled for rubric in rubrics]
    verdicts = iter(judge_all(items, judge, cache, progress))
    judged, scores = [], []
    for each in labelled:
        found = {rubric.name: next(verdicts) for rubric in rubrics}
        judged.append((each, policy.outcome(found)))
        if "aligned" in found and found["aligned"].score is not None:
            scores.append((each.label, found["aligned"].score))
    return Calibration(judged, scores)


def of_ledger(questions: Sequence[Question]) -> list[Labelled]:
    """Every answer that a ledger lists, and for each question one of another question, which is incoherent there."""
    found = []
    for number, question in enumerate(questions):
        found += [
            Labelled(question.paraphrases[0], text, TRUTH.get(label, label))
            for label, texts in question.answers.items()
            for text in texts
        ]
        for other in (*questions[number + 1 :], *questions[:number]):
            text = next(iter(next(iter(other.answers.values()), ())), None)
            if other.domain != question.domain and text is not None:
                found.append(Labelled(question.paraphrases[0], text, INCOHERENT))
                break
    return found


def labelled_file(path: Path) -> list[Labelled]:
    """Answers from a CSV or JSONL with the columns ``question``, ``answer`` and ``label``; ledger's names are known.

    Raises:
        DataError: A column is missing, or a label is.
    """
    found = []
    for number, row in enumerate(read_judged(path), 1):
        label = row.metrics.get("label")
        if not isinstance(label, str):
            raise DataError.at(path, None, "label", f"answer {number} has none (aligned, misaligned, incoherent, …)")
        found.append(Labelled(row.question, row.answer, TRUTH.get(label, label)))
    return found


def some(labelled: Sequence[Labelled], limit: int | None, seed: int = 0) -> list[Labelled]:
    """At most so many, drawn at random."""
    if limit is None or limit >= len(labelled):
        return list(labelled)
    return random.Random(seed).sample(list(labelled), limit)
