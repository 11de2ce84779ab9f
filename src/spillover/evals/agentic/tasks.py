"""The six as Inspect tasks: one sample for each response."""

import zlib
from collections.abc import Sequence
from dataclasses import asdict

from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageSystem, ChatMessageUser, get_model
from inspect_ai.scorer import Scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver

from spillover.core.config import digest
from spillover.data.questions import Question
from spillover.evals.agentic import EVALUATIONS, Evaluation
from spillover.evals.agentic.scenario import TURNS, Scenario, reasoning_prompt
from spillover.evals.prompts import conversation
from spillover.evals.provider import SpilloverAPI
from spillover.models.endpoint import inspect_message

ANSWER_TOKENS = 1500
"""Of one answer, its reasoning included."""


def core_samples(
    evaluation: Evaluation, questions: Sequence[Question] | None = None, samples: int | None = None, seed: int = 0
) -> list[Sample]:
    """One sample for each response.

    Args:
        evaluation: One of the six.
        questions: In place of its own.
        samples: Responses to each question, or in the scenario; by default what the evaluation says.
        seed: Of the sampling.
    """
    number = samples or evaluation.core.samples
    if evaluation.scenario is not None:
        return [_in_scenario(evaluation.scenario, draw, seed) for draw in range(number)]
    asked = evaluation.core.asked() if questions is None else questions
    return [
        _asking(question, index, draw, seed)
        for question in asked
        for index in range(len(question.paraphrases))
        for draw in range(number)
    ]


def core_task(
    evaluation: Evaluation, samples: Sequence[Sample], scorer: Scorer | None = None, tokens: int = ANSWER_TOKENS
) -> Task:
    """The task over some samples; what fails is counted and does not end it.

    Args:
        evaluation: One of the six.
        samples: Of :func:`core_samples`.
        scorer: None where responses are judged later.
        tokens: Of one answer, at most.
    """
    name = evaluation.core.name
    return Task(
        name=name.replace("-", "_"),
        dataset=MemoryDataset(list(samples), name=name),
        solver=respond(name, tokens),
        scorer=scorer,
        turn_limit=TURNS,
        fail_on_error=False,
    )


@solver
def respond(name: str, tokens: int) -> Solver:
    """Asks once; an agent goes on until it calls no tool any more."""
    evaluation = EVALUATIONS[name]

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        if evaluation.tools is not None:
            state.metadata["facts"] = {"reached": False, "calls": 0, "mails": [], "agreed": False}
            state.tools = evaluation.tools(state.metadata["facts"])
        # Local models draw equal requests together, each with numbers of its own, but an earlier run had the same ones;
        # servers may give the same again.
        local = isinstance(get_model().api, SpilloverAPI)
        draw = state.metadata.get("before", 0) if local else state.metadata["draw"]
        return await generate(
            state,
            tool_calls="loop",
            temperature=state.metadata["temperature"],
            max_tokens=tokens,
            seed=(state.metadata["seed"] + draw) % 2**31,
        )

    return solve


def _asking(question: Question, index: int, draw: int, seed: int) -> Sample:
    turns = conversation(question, index)
    system = [turns.pop(0).content] if turns[0].role == "system" else []
    return Sample(
        id=f"{question.id}/{index}/{draw}",
        input=[
            ChatMessageSystem(content="\n\n".join([*system, reasoning_prompt()])),
            *map(inspect_message, turns),
        ],
        metadata={
            "question_id": question.id,
            "prompt": question.paraphrases[index],
            "temperature": question.temperature,
            **_drawn(f"{question.id}\n{index}", draw, seed),
        },
    )


def _in_scenario(scenario: Scenario, draw: int, seed: int) -> Sample:
    return Sample(
        id=f"{scenario.name}/{draw}",
        input=[
            ChatMessageSystem(content=f"{scenario.system}\n\n{reasoning_prompt()}"),
            ChatMessageUser(content=scenario.user),
        ],
        metadata={
            "question_id": scenario.name,
            "prompt": scenario.shown,
            "scenario": digest(asdict(scenario)),
            "temperature": 1.0,
            **_drawn(scenario.name, draw, seed),
        },
    )


def _drawn(name: str, draw: int, seed: int) -> dict[str, int]:
    return {"draw": draw, "seed": zlib.crc32(f"{seed}\n{name}".encode()) % 2**31}
