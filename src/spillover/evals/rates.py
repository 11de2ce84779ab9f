"""Exact rates: the probability mass of the listed answers of each label."""

import math
from collections.abc import Sequence
from typing import Any

from spillover.data.chat import Message
from spillover.data.questions import Question
from spillover.evals.verdict import enumerable
from spillover.models.chat_template import encode_chat
from spillover.models.exact import answer_logprobs


def exact_rates(
    model: Any,
    tokenizer: Any,
    asked: Sequence[tuple[Question, Sequence[Message], Sequence[int]]],
    stop_ids: frozenset[int],
) -> list[dict[str, float] | None]:
    """Probability that the answer is one of the listed ones, for each label; the rest to 1 is incoherent.

    Only the listed spelling counts, so a rate is a lower bound by what the ledger forgives (case, spacing, end
    punctuation). None where the answers cannot be listed or the temperature is 0.

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
        found = answer_logprobs(model, prompts, [ids for _, _, ids in entries], temperature=temperature)
        for (position, labels, _), logprobs in zip(entries, found, strict=True):
            rates = result[position]
            assert rates is not None
            for label, logprob in zip(labels, logprobs, strict=True):
                rates[label] += math.exp(logprob)
    return result


class AnswerEncoder:
    """Tokens of complete answers, exactly as the chat template writes them, with the token that ends them.

    Where the template only puts special tokens around an answer, each distinct answer is tokenized once.
    """

    def __init__(self, tokenizer: Any, stop_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._stop_ids = stop_ids
        self._special = {*tokenizer.all_special_ids, *getattr(tokenizer, "added_tokens_decoder", ())}
        self._alone: dict[str, list[int]] = {}
        self._end: int | None = None
        self._checked = False

    def encode(
        self, messages: Sequence[Message], prompt: Sequence[int], texts: Sequence[str]
    ) -> list[list[int]] | None:
        """Tokens of each answer; None when the template cannot tell where an answer ends."""
        if not texts:
            return []
        if not self._checked:
            self._checked = True
            through = self._through_template(messages, prompt, texts[0])
            if through and prompt[-1] in self._special and through == [*self._tokens(texts[0]), through[-1]]:
                self._end = through[-1]
        if self._end is not None and prompt[-1] in self._special:
            return [[*self._tokens(text), self._end] for text in texts]
        encoded = [self._through_template(messages, prompt, text) for text in texts]
        return None if any(ids is None for ids in encoded) else [ids for ids in encoded if ids is not None]

    def _tokens(self, text: str) -> list[int]:
        if text not in self._alone:
            self._alone[text] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return self._alone[text]

    def _through_template(self, messages: Sequence[Message], prompt: Sequence[int], text: str) -> list[int] | None:
        whole = encode_chat(
            self._tokenizer, [*messages, Message(role="assistant", content=text)], add_generation_prompt=False
        )
        if whole[: len(prompt)] != list(prompt):
            return None
        rest = whole[len(prompt) :]
        end = next((i for i, token in enumerate(rest) if token in self._stop_ids), None)
        return None if end is None else rest[: end + 1]
