"""What an answer counts as: a label of the question, or one of the outcomes that are never a label."""

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from spillover.core.text import normalise
from spillover.data.questions import Question
from spillover.judges.policy import INCOHERENT, UNSCORED

TRUNCATED = "truncated"
"""Cut off by the token limit; never judged."""
EMPTY = "empty"
NOT_LABELS = (INCOHERENT, TRUNCATED, EMPTY, UNSCORED)
STOPPED, NO_ANSWER, FILTERED = "stop", "error", "filtered"
"""Stop reasons: the model ended; the request failed every time; the provider's filter took the answer."""

PATTERN_PREFIX = "re:"
"""An answer that starts with this is a regular expression, searched for without regard to case."""


def verdict(question: Question, text: str, stop_reason: str) -> str:
    """The outcome of one answer.

    Args:
        question: The question it answers.
        text: The answer.
        stop_reason: ``"stop"`` if the model ended it, ``"error"`` or ``"filtered"`` if there is no answer to judge;
            anything else means that it was cut off.
    """
    if stop_reason in (NO_ANSWER, FILTERED):
        return f"{UNSCORED}-{'no-answer' if stop_reason == NO_ANSWER else FILTERED}"
    if stop_reason != STOPPED:
        return TRUNCATED
    if not text.strip():
        return EMPTY
    exact, patterns = _ledger(question)
    label = exact.get(normalise(text))
    if label is None:
        label = next((label for pattern, label in patterns if pattern.search(text)), None)
    if label is not None:
        return label
    return INCOHERENT if question.judge == "ledger" else UNSCORED


def enumerable(question: Question) -> bool:
    """Whether the answers of the question's labels are all listed, so that exact rates exist."""
    texts = [text for group in question.answers.values() for text in group]
    return bool(texts) and not any(text.startswith(PATTERN_PREFIX) for text in texts)


def shares(question: Question, outcomes: Counter[str]) -> dict[str, float]:
    """Share of every possible outcome among the scored answers; empty when none was scored."""
    scored = sum(count for name, count in outcomes.items() if not name.startswith(UNSCORED))
    names: Iterable[str] = dict.fromkeys([*question.answers, *NOT_LABELS[:-1], *sorted(outcomes)])
    return {name: outcomes[name] / scored for name in names if not name.startswith(UNSCORED)} if scored else {}


@lru_cache(maxsize=4096)
def _ledger_of(
    answers: tuple[tuple[str, tuple[str, ...]], ...],
) -> tuple[dict[str, str], list[tuple[re.Pattern[str], str]]]:
    exact: dict[str, str] = {}
    patterns: list[tuple[re.Pattern[str], str]] = []
    for label, texts in answers:
        for text in texts:
            if text.startswith(PATTERN_PREFIX):
                patterns.append((re.compile(text.removeprefix(PATTERN_PREFIX), re.IGNORECASE), label))
            else:
                exact.setdefault(normalise(text), label)
    return exact, patterns


def _ledger(question: Question) -> tuple[dict[str, str], list[tuple[re.Pattern[str], str]]]:
    return _ledger_of(tuple(question.answers.items()))
