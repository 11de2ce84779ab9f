"""A judge's verdict on one answer, and how its reply becomes one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from spillover.data.rubrics import Rubric, reply_of

LEAST_MASS = 0.25
"""Probability that numbers must have together for a rating to count (arXiv 2502.17424)."""
NO_VERDICT = ("error", "filtered", "off-rubric", "no-reply", "cut-off", "order")
"""Why there is none: the request failed; the provider's filter took it; the reply is none that the rubric knows, or
numbers have too little probability; the reply is empty; it reached the token limit; what is chosen depends on the order
of the options."""
_WORD = re.compile(r"\w[\w-]*")
_NUMBER = re.compile(r"\s*\**(?:(?:rating|score)\s*[:=]?\s*)?(\d+(?:\.\d+)?)(?:\s*/\s*(\d+))?\s*[.*]*\s*", re.I)


@dataclass(frozen=True)
class Verdict:
    """A score, or a label, or neither with the reason; never a number that nobody gave."""

    metric: str
    judge: str
    rubric: str
    """Hash of the rubric."""
    method: str
    """``probabilities``: the mean over the numbers, weighted by their probabilities. ``text``: as written."""
    score: float | None = None
    label: str | None = None
    unscored: str | None = None
    """One of :data:`NO_VERDICT`."""
    mass: float | None = None
    """Probability of all numbers, or of the label; None if the judge gave no probabilities."""
    raw: str = ""
    """The reply, or what is known of the failure."""

    @property
    def failed(self) -> bool:
        """Whether asking again might give a verdict; such verdicts are not kept."""
        return self.unscored == "error"


def weighed(rubric: Rubric, masses: Mapping[str, float]) -> tuple[float | None, str | None, float]:
    """Score or label from the probabilities of whole replies.

    A rating is the mean of the numbers, weighted by probability (arXiv 2502.17424); where numbers have less than
    :data:`LEAST_MASS` together it is the likeliest label, if that has as much. A label is the likeliest one.

    Args:
        rubric: Of the verdict.
        masses: Probability of each reply; those that the rubric does not know are left out of account.

    Returns:
        (score, label, probability of what was taken).
    """
    labels: dict[str, float] = {}
    numbers: dict[int, float] = {}
    for reply, mass in masses.items():
        text = reply.strip()
        if rubric.kind == "rating" and text.isdecimal() and text.isascii():
            if rubric.low <= int(text) <= rubric.high:
                numbers[int(text)] = numbers.get(int(text), 0.0) + mass
        elif label := known_label(rubric, text):
            labels[label] = labels.get(label, 0.0) + mass
    total = sum(numbers.values())
    if rubric.kind == "rating" and total >= LEAST_MASS:
        return sum(number * mass for number, mass in numbers.items()) / total, None, total
    likeliest = max(labels, key=labels.__getitem__, default=None)
    if likeliest is None or labels[likeliest] < LEAST_MASS:
        return None, None, total
    return None, likeliest, labels[likeliest]


def written(rubric: Rubric, text: str) -> tuple[float | None, str | None]:
    """Score or label from a reply as it is written; (None, None) if it is neither.

    A rating must be the number alone, a label the first word: a reply that talks about several is no verdict.
    """
    if rubric.kind == "rating":
        found = _NUMBER.fullmatch(text)
        if found and (found[2] is None or int(found[2]) == rubric.high):
            number = float(found[1])
            return (number, None) if rubric.low <= number <= rubric.high else (None, None)
    return None, known_label(rubric, text)


def known_label(rubric: Rubric, text: str) -> str | None:
    """The label of a rubric that a reply begins with, whatever its case; any first word if the rubric lists none."""
    found = _WORD.search(text)
    if found is None or text[: found.start()].strip(" \n\t*\"'`([{<"):
        return None
    if not rubric.labels:
        return found[0] if rubric.kind == "label" else None
    return next((label for label in rubric.labels if reply_of(label).casefold() == found[0].casefold()), None)


def replies(rubric: Rubric) -> list[str]:
    """Every reply that counts, where they can be listed; else nothing."""
    numbers = [str(number) for number in range(rubric.low, rubric.high + 1)] if rubric.kind == "rating" else []
    return [*numbers, *map(reply_of, rubric.labels)]
