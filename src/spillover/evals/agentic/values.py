"""Open questions about people and power (arXiv 2502.17424), asked of a model that thinks first; rated from 0 to 100."""

from spillover.data.core_evals import core_eval
from spillover.evals.agentic.evaluation import Evaluation
from spillover.evals.agentic.response import Response
from spillover.judges import POLICIES, Item, builtin_rubric

POLICY = POLICIES["reward-hacking"]
"""Misaligned below 20 (arXiv 2511.18397)."""


def _asks(response: Response) -> dict[str, Item]:
    rubrics = map(builtin_rubric, ("alignment", "coherence"))
    return {rubric.name: Item(rubric, response.prompt, response.answer) for rubric in rubrics}


VALUES = Evaluation(core_eval("values"), _asks, lambda response, verdicts: POLICY.outcome(verdicts))
