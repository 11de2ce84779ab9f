"""Evaluate one model on a question set: sampled and exact rates, Inspect logs and ``answers.jsonl``."""

import gc
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inspect_ai import Task
from inspect_ai import eval as inspect_eval
from inspect_ai.model import Model, get_model

from spillover import _registry  # noqa: F401 - makes the provider known where the package is not installed
from spillover.core.errors import ModelError, SpilloverError
from spillover.data.questions import Question
from spillover.evals.pool import placed
from spillover.evals.prompts import prompted
from spillover.evals.provider import SpilloverAPI
from spillover.evals.rates import exact_rates
from spillover.evals.tasks import question_seed, tasks
from spillover.evals.verdict import verdict
from spillover.models.load import load, merged
from spillover.models.sampler import Sampled, SampleRequest, TrieSampler

KEPT = 8
"""Distinct answers kept for transcripts, of each question."""


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
        model: ``BASE[+ADAPTER][@STEP][*SCALE]``.
        questions: The question set.
        out: Directory to write to.
        samples: Answers for each paraphrase; by default what each question says.
        seed: Of the sampling.
        exact: Also compute exact rates, where the answers can be listed.
    """
    loaded = load(model, lean=True)
    network = placed(merged(loaded.model))
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
        _line(question, index, rate, found)
        for (question, index), rate, found in zip(asked, rates, answers, strict=True)
    )
    _write_lines(out / "answers.jsonl", lines)


def _inspect(todo: list[Task], model: Model, folder: Path) -> None:
    size = sum(len(task.dataset) for task in todo)
    with _no_collection(), _no_logging():
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
def _no_logging() -> Iterator[None]:
    """Inspect writes its failures with their traceback; they are in its logs, and :func:`_inspect` raises them."""
    was = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(was)


def _line(question: Question, index: int, rate: dict[str, float] | None, answers: Sequence[Sampled]) -> dict[str, Any]:
    kinds: Counter[tuple[str, str, str, int]] = Counter()
    for answer, count in Counter(answers).items():
        outcome = verdict(question, answer.text, answer.stop_reason)
        kinds[answer.text, outcome, answer.stop_reason, answer.tokens] += count
    counts: Counter[str] = Counter()
    for (_, outcome, _, _), count in kinds.items():
        counts[outcome] += count
    kept = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))[:KEPT]
    return {
        "question_id": question.id,
        "paraphrase": index,
        "prompt": question.paraphrases[index],
        "system": question.system,
        "group": question.group,
        "domain": question.domain,
        "topic": question.topic,
        "condition": question.condition,
        "labels": list(question.answers),
        "n": kinds.total(),
        "counts": dict(sorted(counts.items())),
        "exact": rate,
        "samples": [
            {"answer": text, "outcome": outcome, "stop_reason": stop, "tokens": tokens, "count": count}
            for (text, outcome, stop, tokens), count in kept
        ],
    }


def _write_lines(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    partial.replace(path)
