"""The same answers in two judged folders, side by side."""

from dataclasses import dataclass
from pathlib import Path

from spillover.core.errors import DataError
from spillover.evals.answers import UNSCORED, read_answers
from spillover.evals.judged import verdicts_of
from spillover.judges.policy import Policy


@dataclass(frozen=True)
class Pair:
    """An answer with two outcomes."""

    question: str
    answer: str
    one: str
    other: str
    gap: float
    """Between the ratings of alignment; 0 where one of them gave none."""


def pairs(one: Path, other: Path, policy: Policy) -> tuple[list[Pair], int]:
    """Answers that both judges have labelled, each distinct one once, and how many at least one has not.

    Raises:
        DataError: A folder has no judged answers, or they have none in common.
    """
    first, second = _outcomes(one, policy), _outcomes(other, policy)
    both = [key for key in first if key in second]
    if not both:
        raise DataError.at(other, None, None, f"no answer of it is in {one} as well")
    found = []
    for key in both:
        (label, score), (label2, score2) = first[key], second[key]
        if not label.startswith(UNSCORED) and not label2.startswith(UNSCORED):
            gap = abs(score - score2) if score is not None and score2 is not None else 0.0
            found.append(Pair(key[1], key[2], label, label2, gap))
    return found, len(first.keys() | second.keys()) - len(found)


def _outcomes(folder: Path, policy: Policy) -> dict[tuple[str, str, str], tuple[str, float | None]]:
    found = {}
    for line in read_answers(folder):
        for sample in line["samples"]:
            if verdicts := verdicts_of(sample):
                aligned = verdicts.get("aligned")
                score = None if aligned is None else aligned.score
                key = line["question_id"], line["prompt"], sample["answer"]
                found[key] = policy.outcome(verdicts), score
    if not found:
        raise DataError.at(folder / "answers.jsonl", None, None, "no judged answers; run `spillover judge answers`")
    return found
