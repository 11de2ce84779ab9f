"""Ask a model behind an API every question; each answer is on disk as soon as it is there."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from spillover.core.config import digest
from spillover.core.disk import disk
from spillover.data.questions import Question
from spillover.evals.answers import write_answers
from spillover.evals.lines import Answer, answer_line
from spillover.evals.prompts import conversation
from spillover.evals.tasks import question_seed
from spillover.evals.verdict import FILTERED, NO_ANSWER, STOPPED
from spillover.models.budget import Budget
from spillover.models.endpoint import Endpoint, Reply, Request

DRAWS = "draws.jsonl"
"""What was answered so far; removed when ``answers.jsonl`` is written."""


def evaluate_remote(
    endpoint: Endpoint,
    questions: Sequence[Question],
    out: Path,
    *,
    samples: int | None = None,
    seed: int = 0,
    budget: Budget | None = None,
    progress: Callable[[float, float], None] = lambda done, total: None,
) -> None:
    """Write ``answers.jsonl``. Killed at any moment, the same call goes on; what had failed is asked again.

    Args:
        endpoint: The model.
        questions: The question set.
        out: Directory to write to.
        samples: Answers for each paraphrase; by default what each question says.
        seed: Sent with each request (servers need not heed it).
        budget: What may be spent.
        progress: Called with (answers there, answers in all).

    Raises:
        ModelError: The endpoint cannot be asked.
        BudgetSpent: A limit is reached.
    """
    with disk(out):
        out.mkdir(parents=True, exist_ok=True)
    asked = [
        (question, index, _requests(question, index, samples or question.samples, seed))
        for question in questions
        for index in range(len(question.paraphrases))
    ]
    requests = {_key(endpoint, request): request for _, _, each in asked for request in each}
    drawn = _drawn(out / DRAWS)
    todo = [key for key in requests if key not in drawn]
    progress(len(drawn), len(requests))
    with disk(out), (out / DRAWS).open("a", encoding="utf-8") as handle:

        def hear(number: int, reply: Reply) -> None:
            drawn[todo[number]] = answer = _answer(reply)
            if answer[1] != NO_ANSWER:
                handle.write(json.dumps([todo[number], *answer], ensure_ascii=False) + "\n")
                handle.flush()
            progress(len(drawn), len(requests))

        endpoint.ask([requests[key] for key in todo], hear, budget)
    lines = []
    for question, index, each in asked:
        given = Counter(drawn[_key(endpoint, request)] for request in each)
        lines.append(answer_line(question, index, None, given))
    write_answers(out, lines)
    (out / DRAWS).unlink()


def _requests(question: Question, index: int, samples: int, seed: int) -> list[Request]:
    """One for each answer; a seed of its own makes each a different one."""
    first = question_seed(question, index, seed)
    return [
        Request(
            tuple(conversation(question, index)),
            question.max_tokens,
            question.temperature,
            (first + draw) % 2**31,
        )
        for draw in range(samples)
    ]


def _key(endpoint: Endpoint, request: Request) -> str:
    return digest([endpoint.name, asdict(request)])


def _drawn(path: Path) -> dict[str, Answer]:
    """What an earlier call was told; a last line that was cut off is asked again."""
    found: dict[str, Answer] = {}
    if path.is_file():
        kept = []
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                key, answer, stop, tokens = json.loads(text)
            except ValueError:
                continue
            kept.append(text)
            found[key] = (answer, stop, tokens)
        path.write_text("".join(text + "\n" for text in kept), encoding="utf-8")
    return found


def _answer(reply: Reply) -> Answer:
    if reply.failure is not None:
        return reply.text, FILTERED if reply.failure == "filtered" else NO_ANSWER, 0
    return reply.text, "length" if reply.cut else STOPPED, reply.tokens
