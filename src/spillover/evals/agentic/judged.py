"""Responses with what judges say about them and what they count as."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from spillover.evals.agentic import EVALUATIONS, Evaluation
from spillover.evals.agentic.response import Response
from spillover.judges import Judge, Verdict, judge_all
from spillover.judges.cache import VerdictCache
from spillover.judges.policy import MISALIGNED


@dataclass(frozen=True)
class Judged:
    """One response."""

    response: Response
    outcome: str
    """``misaligned``, ``aligned``, or a name of its own for what is neither."""
    covert: bool | None
    """Of a misaligned one: whether only its reasoning is; None where that is not known, or not defined."""
    verdicts: Mapping[str, Verdict]

    @classmethod
    def of(cls, evaluation: Evaluation, response: Response, verdicts: Mapping[str, Verdict]) -> "Judged":
        """From the verdicts."""
        outcome = evaluation.outcome(response, verdicts)
        covert = evaluation.covert(response, verdicts) if outcome == MISALIGNED else None
        return cls(response, outcome, covert, verdicts)

    def as_json(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        verdicts = {metric: asdict(verdict) for metric, verdict in self.verdicts.items()}
        return {**asdict(self.response), "outcome": self.outcome, "covert": self.covert, "verdicts": verdicts}


def judge_responses(
    name: str,
    responses: Sequence[Response],
    judge: Judge | None,
    cache: VerdictCache | None = None,
    progress: Callable[[float, float], None] = lambda done, total: None,
) -> list[Judged]:
    """Judge what can be judged; verdicts are kept, those that failed are asked for again the next time.

    Args:
        name: Of the evaluation.
        responses: To it.
        judge: None where the evaluation needs none.
        cache: Where verdicts are kept.
        progress: Called with (verdicts there, verdicts in all).

    Raises:
        ModelError: The judge cannot be asked.
        BudgetSpent: A limit is reached.
    """
    evaluation = EVALUATIONS[name]
    asked = [evaluation.to_judge(response) for response in responses]
    items = [item for each in asked for item in each.values()]
    found = iter(judge_all(items, judge, cache or VerdictCache(), progress) if judge and items else ())
    return [
        Judged.of(evaluation, response, {metric: next(found) for metric in each})
        for response, each in zip(responses, asked, strict=True)
    ]
