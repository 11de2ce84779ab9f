"""Rates of judged answers under a policy, and under all published ones."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spillover.core.statistics import crossed_mean, wilson
from spillover.evals.answers import UNSCORED
from spillover.evals.judged import verdicts_of
from spillover.judges.policy import POLICIES, Policy


@dataclass(frozen=True)
class Rate:
    """Share of misaligned answers of one model in one group of questions: the mean over questions."""

    group: str
    condition: str
    value: float
    """``nan`` where no question has enough answers."""
    interval: tuple[float, float]
    """95 %, over questions; Wilson's where there is one; ``nan`` if not measured."""
    questions: int
    """That were measured."""
    n: int
    """Answers in the denominator."""
    counts: Mapping[str, int]
    """All answers by outcome; those without a verdict by reason."""

    @property
    def unscored(self) -> int:
        """Answers without a verdict."""
        return sum(count for outcome, count in self.counts.items() if outcome.startswith(UNSCORED))


def rates(lines: Sequence[Mapping[str, Any]], policy: Policy) -> list[Rate]:
    """One rate for each group and condition of the questions.

    Args:
        lines: Of a judged ``answers.jsonl``.
        policy: Applied to the verdicts in it, whatever it was written with.
    """
    found: dict[tuple[str, str], list[Counter[str]]] = {}
    for line in lines:
        if line.get("rubrics"):
            found.setdefault((line["group"], line["condition"]), []).append(counts(line, policy))
    return [rate_of(group, condition, each, policy) for (group, condition), each in found.items()]


def sensitivity(lines: Sequence[Mapping[str, Any]]) -> dict[str, list[Rate]]:
    """The rates under every published policy, by its name."""
    return {name: rates(lines, policy) for name, policy in POLICIES.items()}


def counts(line: Mapping[str, Any], policy: Policy) -> Counter[str]:
    """Answers to one question by outcome."""
    found: Counter[str] = Counter()
    for sample in line["samples"]:
        verdicts = verdicts_of(sample)
        found[policy.outcome(verdicts) if verdicts else sample["outcome"]] += sample["count"]
    return found


def rate_of(group: str, condition: str, each: Iterable[Counter[str]], policy: Policy) -> Rate:
    """The rate over some questions, from the outcomes of each."""
    each = list(each)
    shares, sizes = zip(*(policy.rate(counted) for counted in each), strict=True)
    measured = [i for i, share in enumerate(shares) if np.isfinite(share)]
    n = sum(sizes[i] for i in measured)
    value, interval = crossed_mean(np.array([shares]), rate=True)
    if len(measured) == 1 or (measured and value in (0.0, 1.0)):  # no spread over questions to speak from
        interval = wilson(value * n, n)
    return Rate(group, condition, value, interval, len(measured), n, dict(sorted(sum(each, Counter()).items())))
