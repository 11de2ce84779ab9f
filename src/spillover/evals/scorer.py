"""Inspect scorer: the share of every outcome among the answers to one question."""

from collections import Counter

from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import TaskState

from spillover.data.questions import Question
from spillover.evals.verdict import shares, verdict


@scorer(metrics={"*": [mean(), stderr()]})
def outcomes() -> Scorer:
    """Judges every choice of the output.

    The value is the share of each outcome among the scored answers; counts are in the score's metadata, and the
    outcome of each choice, in their order, under ``"outcomes"``. A choice counts as often as the ``count`` in the
    metadata of its message says. When no answer could be scored the sample is unscored.
    """

    async def score(state: TaskState, target: Target) -> Score:
        question = Question.model_validate(state.metadata["question"])
        found = [verdict(question, choice.message.text, choice.stop_reason) for choice in state.output.choices]
        counts: Counter[str] = Counter()
        for outcome, choice in zip(found, state.output.choices, strict=True):
            counts[outcome] += (choice.message.metadata or {}).get("count", 1)
        values = shares(question, counts)
        metadata = {"counts": dict(sorted(counts.items())), "outcomes": found}
        if not values:
            return Score.unscored(reason="invalid_response_format", metadata=metadata)
        return Score(value=dict(values), answer=counts.most_common(1)[0][0], metadata=metadata)

    return score
