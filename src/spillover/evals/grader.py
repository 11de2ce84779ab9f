"""Inspect scorer: an LLM judge in the role ``grader``, its verdicts, and what a policy makes of them."""

from collections import Counter
from dataclasses import asdict

from anyio.to_thread import run_sync
from inspect_ai.model import GenerateConfig, Model, get_model
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import TaskState

from spillover.data.questions import Question
from spillover.data.rubrics import Rubric
from spillover.evals.provider import SpilloverAPI
from spillover.evals.scorer import QUESTION, score_of
from spillover.evals.verdict import EMPTY, STOPPED, TRUNCATED
from spillover.judges.choice import joined, parts
from spillover.judges.local import LocalJudge
from spillover.judges.policy import DEFAULT, find_policy
from spillover.judges.remote import TEXT_TOKENS, verdict_of
from spillover.judges.verdicts import Verdict
from spillover.models.endpoint import ALTERNATIVES, reply_of


@scorer(metrics={"*": [mean(), stderr()]})
def judged(policy: str = DEFAULT, labels: list[str] | None = None) -> Scorer:
    """Judges every choice by the rubrics of its question; shares of outcomes as :func:`outcomes` gives them.

    The judge is the model of the role ``grader``, which must be given: a model is never its own judge by default. The
    verdicts are in the score's metadata, each with the judge and the hash of its rubric.

    Args:
        policy: Published convention, see :data:`spillover.judges.POLICIES`.
        labels: Outcomes that are 0 where no answer has them.
    """
    chosen = find_policy(policy)

    async def score(state: TaskState, target: Target) -> Score:
        question: Question = QUESTION.validate_python(state.metadata["question"])
        judge = get_model(role="grader", required=True)
        counts: Counter[str] = Counter()
        verdicts = []
        for choice in state.output.choices:
            text, count = choice.message.text, (choice.message.metadata or {}).get("count", 1)
            found: dict[str, Verdict] = {}
            if choice.stop_reason != STOPPED:
                outcome = TRUNCATED
            elif not text.strip():
                outcome = EMPTY
            else:
                for metric, rubric in question.rubrics.items():
                    given = [
                        await ask_judge(judge, part, part.prompt(state.user_prompt.text, text))
                        for part in parts(rubric)
                    ]
                    found[metric] = joined(rubric, given)
                outcome = chosen.outcome(found)
            counts[outcome] += count
            verdicts.append({"outcome": outcome, **{metric: asdict(verdict) for metric, verdict in found.items()}})
        return score_of(question, counts, {"verdicts": verdicts, "policy": policy}, labels)

    return score


_LOCAL: dict[str, LocalJudge] = {}


async def ask_judge(judge: Model, rubric: Rubric, prompt: str) -> Verdict:
    """The verdict of a model of Inspect's on one prompt."""
    if isinstance(judge.api, SpilloverAPI):
        return await run_sync(_weigh, judge.api.model_name, rubric, prompt)
    config = GenerateConfig(max_tokens=TEXT_TOKENS, temperature=0, logprobs=True, top_logprobs=ALTERNATIVES)
    return verdict_of(rubric, str(judge), reply_of(await judge.generate(prompt, config=config)))


def _weigh(name: str, rubric: Rubric, prompt: str) -> Verdict:
    if name not in _LOCAL:
        _LOCAL[name] = LocalJudge(name)
    found: list[Verdict] = []
    _LOCAL[name].grade([(rubric, prompt)], lambda number, verdict: found.append(verdict))
    return found[0]
