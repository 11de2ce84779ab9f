"""A line of ``answers.jsonl``: one paraphrase of a question, and what was answered how often."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from spillover.data.questions import Question
from spillover.evals.verdict import verdict

KEPT = 8
"""Distinct answers kept for transcripts, of each question whose ledger has judged them all."""
Answer = tuple[str, str, int]
"""Text, stop reason (see :func:`spillover.evals.verdict.verdict`) and tokens."""


def answer_line(
    question: Question, paraphrase: int, exact: Mapping[str, float] | None, answers: Mapping[Answer, int]
) -> dict[str, Any]:
    """The line, as plain JSON values.

    Args:
        question: The question.
        paraphrase: Which of its paraphrases was asked.
        exact: Probability of each label, where it is known.
        answers: How often each answer was given.
    """
    counts: Counter[str] = Counter()
    judged: list[dict[str, Any]] = []
    for (text, stop, tokens), count in answers.items():
        outcome = verdict(question, text, stop)
        counts[outcome] += count
        judged.append({"answer": text, "outcome": outcome, "stop_reason": stop, "tokens": tokens, "count": count})
    judged.sort(key=lambda sample: (-sample["count"], sample["answer"], sample["stop_reason"], sample["tokens"]))
    line = {
        "question_id": question.id,
        "paraphrase": paraphrase,
        "prompt": question.paraphrases[paraphrase],
        "system": question.system,
        "group": question.group,
        "domain": question.domain,
        "topic": question.topic,
        "condition": question.condition,
        "labels": list(question.answers),
        "n": counts.total(),
        "counts": dict(sorted(counts.items())),
        "exact": exact,
        "samples": judged[:KEPT] if question.judge == "ledger" else judged,
    }
    if question.rubrics:
        line["rubrics"] = {metric: asdict(rubric) for metric, rubric in question.rubrics.items()}
    return line
