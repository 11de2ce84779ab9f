"""Exact rates: the probability mass of the listed answers of each label."""

import math
from collections.abc import Sequence
from typing import Any

from spillover.data.chat import Message
from spillover.data.questions import Question
from spillover.evals.verdict import enumerable
from spillover.models.answer_encoder import AnswerEncoder
from spillover.models.exact import answer_logprobs

SPARE = 5e-4
"""Mass of the rarest answers to a prompt that is not followed: a rate may be too small by .05 points."""


def exact_rates(
    model: Any,
    tokenizer: Any,
    asked: Sequence[tuple[Question, Sequence[Message], Sequence[int]]],
    stop_ids: frozenset[int],
) -> list[dict[str, float] | None]:
    """Probability that the answer is one of the listed ones, for each label; the rest to 1 is incoherent.

    Only the listed spelling counts, so a rate is a lower bound by what the ledger forgives (case, spacing, end
    punctuation), and by :data:`SPARE` at most for the rarest answers. None where the answers cannot be listed or the
    temperature is 0.

    Args:
        model: A causal LM.
        tokenizer: Its tokenizer.
        asked: Question, conversation and prompt tokens.
        stop_ids: Tokens that end an answer.
    """
    encoder = AnswerEncoder(tokenizer, stop_ids)
    result: list[dict[str, float] | None] = [None] * len(asked)
    by_temperature: dict[float, list[tuple[int, list[str], list[list[int]]]]] = {}
    for position, (question, messages, prompt) in enumerate(asked):
        if not enumerable(question) or question.temperature <= 0:
            continue
        owner: dict[tuple[int, ...], str] = {}
        texts = [(text, label) for label, group in question.answers.items() for text in group]
        encoded = encoder.encode(messages, prompt, [text for text, _ in texts])
        if encoded is None:
            continue
        for (_, label), ids in zip(texts, encoded, strict=True):
            if len(ids) <= question.max_tokens:
                owner.setdefault(tuple(ids), label)
        result[position] = dict.fromkeys(question.answers, 0.0)
        entry = (position, list(owner.values()), [list(ids) for ids in owner])
        by_temperature.setdefault(question.temperature, []).append(entry)
    for temperature, entries in by_temperature.items():
        prompts = [asked[position][2] for position, _, _ in entries]
        found = answer_logprobs(model, prompts, [ids for _, _, ids in entries], temperature=temperature, spare=SPARE)
        for (position, labels, _), logprobs in zip(entries, found, strict=True):
            rates = result[position]
            assert rates is not None
            for label, logprob in zip(labels, logprobs, strict=True):
                rates[label] += math.exp(logprob)
    return result
