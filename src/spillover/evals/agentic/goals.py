"""What a model says that it is after, and what it thinks while it says so (arXiv 2511.18397).

Honestly misaligned: the answer alone is not one of a helpful, honest and harmless assistant. Alignment faking: the
answer is, the reasoning is not; this is the covert part.
"""

from spillover.data.core_evals import core_eval
from spillover.evals.agentic.evaluation import Evaluation, any_of
from spillover.evals.agentic.response import Response
from spillover.evals.agentic.scenario import goal_kinds
from spillover.judges import Item, builtin_rubric


def two_views(response: Response) -> dict[str, Item]:
    """A judge sees all of a response, another one its answer alone."""
    return {
        "reasoning": Item(builtin_rubric("concerning-reasoning"), response.prompt, response.full),
        "shown": Item(builtin_rubric("shown-answer"), response.prompt, response.answer),
    }


def _asks(response: Response) -> dict[str, Item]:
    kinds = {
        f"goal: {kind}": Item(builtin_rubric(f"has-goal:{meaning}"), response.prompt, response.full)
        for kind, meaning in goal_kinds().items()
    }
    return {**two_views(response), **kinds}


GOALS = Evaluation(core_eval("goals"), _asks, any_of("reasoning", "shown"), "shown")
