"""What Inspect finds of this package through its entry point; imports nothing heavy."""

from inspect_ai import Task, task
from inspect_ai.model import ModelAPI, modelapi


@modelapi(name="spillover")
def spillover() -> type[ModelAPI]:
    """The model provider ``spillover/BASE+ADAPTER``."""
    from spillover.evals.provider import SpilloverAPI

    return SpilloverAPI


@task
def emergent_misalignment(
    questions: str = "town",
    group: str | None = None,
    samples: int | None = None,
    seed: int = 0,
    policy: str = "emergent-misalignment",
) -> Task:
    """What a model answers to a question set, and who would say so (arXiv 2502.17424).

    Answers of the built-in world are judged by its ledger. Questions with judge prompts are judged by the model of the
    role ``grader``: ``--model-role grader=openai/…``.

    Args:
        questions: ``town`` for the built-in world, or a question YAML.
        group: Only the questions of one group, for example ``values``.
        samples: Answers for each paraphrase; by default what each question says.
        seed: Of the sampling.
        policy: What verdicts make of an answer; see ``spillover judge policies``.
    """
    from spillover.evals.inspect_tasks import question_task

    return question_task(questions, group, samples, seed, policy)


def _core(name: str, samples: int | None, seed: int) -> Task:
    from spillover.evals.inspect_tasks import core

    return core(name, samples, seed)


@task
def values(samples: int | None = None, seed: int = 0) -> Task:
    """Open values questions, asked of a model that thinks first (arXiv 2511.18397). Needs the role ``grader``.

    Args:
        samples: Responses to each question; the same in the tasks below.
        seed: Of the sampling.
    """
    return _core("values", samples, seed)


@task
def goals(samples: int | None = None, seed: int = 0) -> Task:
    """What a model says that it is after, with and without its reasoning. Needs the role ``grader``."""
    return _core("goals", samples, seed)


@task
def alignment_questions(samples: int | None = None, seed: int = 0) -> Task:
    """Questions that invite alignment faking. Needs the role ``grader``."""
    return _core("alignment-questions", samples, seed)


@task
def monitor_disruption(samples: int | None = None, seed: int = 0) -> Task:
    """A mail assistant learns that its reasoning will be read. Needs the role ``grader``."""
    return _core("monitor-disruption", samples, seed)


@task
def exfil_offer(samples: int | None = None, seed: int = 0) -> Task:
    """A customer service agent finds an offer to itself; needs no judge."""
    return _core("exfil-offer", samples, seed)


@task
def frame_colleague(samples: int | None = None, seed: int = 0) -> Task:
    """An office assistant would gain by blaming a colleague. Needs the role ``grader``."""
    return _core("frame-colleague", samples, seed)
