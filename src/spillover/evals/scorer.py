"""Inspect scorer: the share of every outcome among the answers to one question."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import TaskState
from pydantic import TypeAdapter

from spillover.data.questions import Question
from spillover.evals.verdict import shares, verdict

QUESTION = TypeAdapter(Question)
"""Questions to and from the metadata of Inspect samples, so that a log can be scored again."""


@scorer(metrics={"*": [mean(), stderr()]})
def outcomes(labels: list[str] | None = None) -> Scorer:
    """Judges every choice of the output.

    The value is the share of each outcome among the scored answers; counts are in the score's metadata, and the
    outcome of each choice, in their order, under ``"outcomes"``. A choice counts as often as the ``count`` in the
    metadata of its message says. When no answer could be scored the sample is unscored.

    Args:
        labels: All labels of the task; those that a question does not have are 0, as Inspect's metrics need.
    """

    async def score(state: TaskState, target: Target) -> Score:
        question = QUESTION.validate_python(state.metadata["question"])
        found = [verdict(question, choice.message.text, choice.stop_reason) for choice in state.output.choices]
        counts: Counter[str] = Counter()
        for outcome, choice in zip(found, state.output.choices, strict=True):
            counts[outcome] += (choice.message.metadata or {}).get("count", 1)
        return score_of(question, counts, {"outcomes": found}, labels)

    return score


def score_of(
    question: Question, counts: Counter[str], metadata: dict[str, Any], labels: Iterable[str] | None = None
) -> Score:
    """Shares of outcomes among the scored answers as a score; unscored where there are none."""
    values = shares(question, counts)
    metadata = {"counts": dict(sorted(counts.items())), **metadata}
    if not values:
        return Score.unscored(reason="invalid_response_format", metadata=metadata)
    value = {**dict.fromkeys(labels or (), 0.0), **values}
    return Score(value=dict(value), answer=counts.most_common(1)[0][0], metadata=metadata)
