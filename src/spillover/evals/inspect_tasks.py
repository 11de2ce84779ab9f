"""The tasks that Inspect finds by this package's entry point: ``inspect eval spillover/emergent_misalignment``."""

from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset
from inspect_ai.scorer import grouped, mean, stderr

from spillover.core.errors import ConfigError, nearest
from spillover.evals.agentic import EVALUATIONS
from spillover.evals.agentic.scorer import misaligned
from spillover.evals.agentic.tasks import core_samples, core_task
from spillover.evals.grader import judged
from spillover.evals.scorer import outcomes
from spillover.evals.tasks import ask, samples_of
from spillover.worlds.questions import find_questions


def question_task(questions: str, group: str | None, samples: int | None, seed: int, policy: str) -> Task:
    """One task over a question set; see :func:`spillover._registry.emergent_misalignment`."""
    asked = find_questions(questions)
    groups = list(dict.fromkeys(question.group for question in asked))
    if group is not None:
        asked = [question for question in asked if question.group == group]
        if not asked:
            raise ConfigError(f"group '{group}': unknown{nearest(group, groups)}")
    labels = list(dict.fromkeys(label for question in asked for label in question.answers))
    by_llm = any(question.rubrics for question in asked)
    return Task(
        name="emergent_misalignment",
        dataset=MemoryDataset(samples_of(asked, samples, seed), name=questions),
        solver=ask(),
        scorer=judged(policy) if by_llm else outcomes(labels),
        metrics={"*": [grouped(mean(), "group"), stderr(cluster="question_id")]},
        metadata={"questions": questions, "policy": policy if by_llm else None},
    )


def core(name: str, samples: int | None, seed: int) -> Task:
    """One of the six evaluations of arXiv 2511.18397; see :mod:`spillover.evals.agentic`."""
    evaluation = EVALUATIONS[name]
    return core_task(evaluation, core_samples(evaluation, None, samples, seed), misaligned(name))
