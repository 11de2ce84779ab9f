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
