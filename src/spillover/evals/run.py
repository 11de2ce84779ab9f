"""Evaluate one model on a question set: sampled and exact rates, Inspect logs and ``answers.jsonl``."""

import gc
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from inspect_ai import Task
from inspect_ai import eval as inspect_eval
from inspect_ai.model import Model, get_model

from spillover import _registry  # noqa: F401 - makes the provider known where the package is not installed
from spillover.core.errors import ModelError, SpilloverError
from spillover.data.questions import Question
from spillover.evals.answers import write_answers
from spillover.evals.lines import answer_line
from spillover.evals.prompts import prompted
from spillover.evals.provider import SpilloverAPI
from spillover.evals.rates import exact_rates
from spillover.evals.tasks import question_seed, tasks
from spillover.models.load import load_placed
from spillover.models.sampler import SampleRequest, TrieSampler


def evaluate(
    model: str,
    questions: Sequence[Question],
    out: Path,
    *,
    samples: int | None = None,
    seed: int = 0,
    exact: bool = True,
) -> None:
    """Ask a model every paraphrase of every question and judge its answers.

    Writes ``answers.jsonl``, a line for each paraphrase, and ``logs/*.eval``, which Inspect View opens. All answers
    are sampled in one go, in batches that depend on nothing but the arguments, so that a repetition gives the same.

    Args:
        model: ``BASE[+ADAPTER[@STEP][*SCALE]]…``.
        questions: The question set.
        out: Directory to write to.
        samples: Answers for each paraphrase; by default what each question says.
        seed: Of the sampling.
        exact: Also compute exact rates, where the answers can be listed.
    """
    loaded = load_placed(model)
    network = loaded.model
    sampler = TrieSampler(network, loaded.tokenizer)
    asked = [(question, index) for question in questions for index in range(len(question.paraphrases))]
    items = prompted(loaded.tokenizer, asked)
    for (question, index), (_, _, prompt) in zip(asked, items, strict=True):
        if not sampler.fits(prompt):
            raise ModelError(
                f"question '{question.id}', paraphrase {index}: its prompt has {len(prompt)} tokens, the context of "
                f"the model is {sampler.context}; leave it out, or take a model with a longer context"
            )
    requests = [
        SampleRequest(
            tuple(prompt),
            samples or question.samples,
            question.temperature,
            question.max_tokens,
            question_seed(question, index, seed),
        )
        for (question, index), (_, _, prompt) in zip(asked, items, strict=True)
    ]
    answers = sampler.sample_many(requests)
    rates: list[dict[str, float] | None] = [None] * len(asked)
    if exact:
        rates = exact_rates(network, loaded.tokenizer, items, sampler.stop_ids)

    out.mkdir(parents=True, exist_ok=True)
    provider = get_model(f"spillover/{model}", memoize=False, distinct=True)
    assert isinstance(provider.api, SpilloverAPI)
    provider.api.prepare(loaded.tokenizer, dict(zip(requests, answers, strict=True)))
    _inspect(tasks(questions, samples=samples, seed=seed), provider, out / "logs")
    lines = (
        answer_line(question, index, rate, Counter((a.text, a.stop_reason, a.tokens) for a in found))
        for (question, index), rate, found in zip(asked, rates, answers, strict=True)
    )
    write_answers(out, lines)


def _inspect(todo: list[Task], model: Model, folder: Path) -> None:
    size = sum(len(task.dataset) for task in todo)
    with _no_collection(), no_logging():
        logs = inspect_eval(
            todo,
            model=model,
            log_dir=str(folder),
            display="log",
            max_tasks=len(todo),
            max_samples=size,
            max_connections=size,
            log_realtime=False,
            log_model_api=False,
            log_buffer=size,
            log_header_only=True,
            score_display=False,
            ctl_server=False,
            acp_server=False,
        )
    for log in logs:
        if log.status != "success":
            raise SpilloverError(
                f"evaluation of {log.eval.task} failed: {log.error.message if log.error else log.status}"
            )


@contextmanager
def _no_collection() -> Iterator[None]:
    """Inspect makes many objects and few cycles; collecting garbage meanwhile costs a third of its time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def no_logging() -> Iterator[None]:
    """Inspect writes its failures with their traceback; they are in its logs, and :func:`_inspect` raises them."""
    was = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(was)
