"""Question sets as Inspect tasks: one task for each group, one sample for each paraphrase of a question."""

import zlib
from collections.abc import Sequence

from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.solver import Generate, Solver, TaskState, solver

from spillover.data.questions import Question
from spillover.evals.prompts import conversation
from spillover.evals.scorer import QUESTION, outcomes
from spillover.models.endpoint import inspect_message


def question_seed(question: Question, paraphrase: int, seed: int) -> int:
    """A seed of its own for each question, so that equal prompts in two questions draw different samples."""
    return zlib.crc32(f"{seed}\n{question.id}\n{question.condition}\n{paraphrase}".encode())


def tasks(questions: Sequence[Question], *, samples: int | None = None, seed: int = 0) -> list[Task]:
    """Inspect tasks for a question set.

    Args:
        questions: The questions; each group becomes a task of that name.
        samples: Answers for each paraphrase; by default what each question says.
        seed: Of the sampling.
    """
    groups: dict[str, list[Question]] = {}
    for question in questions:
        groups.setdefault(question.group, []).append(question)
    return [
        Task(
            name=group,
            dataset=MemoryDataset(samples_of(found, samples, seed), name=group),
            solver=ask(),
            scorer=outcomes(list(dict.fromkeys(label for question in found for label in question.answers))),
        )
        for group, found in groups.items()
    ]


def samples_of(questions: Sequence[Question], samples: int | None = None, seed: int = 0) -> list[Sample]:
    """A sample for each paraphrase, which asks once for all answers; arguments as of :func:`tasks`."""
    return [
        Sample(
            input=[inspect_message(turn) for turn in conversation(question, index)],
            id=sample_id(question, index),
            metadata={
                "question_id": question.id,
                "paraphrase": index,
                "group": question.group,
                "domain": question.domain,
                "topic": question.topic,
                "condition": question.condition,
                "samples": samples or question.samples,
                "seed": question_seed(question, index, seed),
                "question": QUESTION.dump_python(question, mode="json", exclude_defaults=True),
            },
        )
        for question in questions
        for index in range(len(question.paraphrases))
    ]


def sample_id(question: Question, paraphrase: int) -> str:
    """Identity of a paraphrase of a question in the logs."""
    return f"{question.id}/{question.condition}/{paraphrase}"


@solver
def ask() -> Solver:
    """Asks once, for all answers, with the settings of the question."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        question = QUESTION.validate_python(state.metadata["question"])
        return await generate(
            state,
            num_choices=state.metadata["samples"],
            temperature=question.temperature,
            max_tokens=question.max_tokens,
            seed=state.metadata["seed"],
        )

    return solve
