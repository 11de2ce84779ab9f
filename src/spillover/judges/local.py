"""An LLM judge in this process: the probability of every reply that counts, read off the model without sampling."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from spillover.core.errors import ModelError
from spillover.data.chat import Message
from spillover.data.rubrics import Rubric
from spillover.judges.verdicts import Verdict, replies, weighed, written
from spillover.models.answer_encoder import AnswerEncoder
from spillover.models.chat_template import encode_chat
from spillover.models.exact import answer_logprobs
from spillover.models.load import load_placed
from spillover.models.sampler import SampleRequest, TrieSampler

TEXT_TOKENS = 16
BATCH = 64
"""Prompts between two reports."""


class LocalJudge:
    """Any model that can be loaded here.

    Where the replies of a rubric can be listed (numbers, labels), each is weighed whole, with the token that ends it,
    however many tokens it has: digits are no obstacle. Where they have less than a quarter of the probability, and
    where they cannot be listed, the likeliest text is read.

    Args:
        name: ``BASE[+ADAPTER[@STEP][*SCALE]]…``.
    """

    settings: dict[str, Any] = {"temperature": 0, "max_tokens": TEXT_TOKENS, "probabilities": True}  # noqa: RUF012

    def __init__(self, name: str) -> None:
        self.name = name
        loaded = load_placed(name)
        self._model = loaded.model
        self._tokenizer = loaded.tokenizer
        self._sampler = TrieSampler(self._model, loaded.tokenizer)
        self._encoder = AnswerEncoder(loaded.tokenizer, self._sampler.stop_ids)

    def grade(self, prompts: Sequence[tuple[Rubric, str]], heard: Callable[[int, Verdict], None]) -> None:
        """Judge every prompt; ``heard`` gets the verdicts a batch at a time.

        Raises:
            ModelError: A prompt does not fit into the context of the judge.
        """
        for start in range(0, len(prompts), BATCH):
            batch = prompts[start : start + BATCH]
            for number, verdict in enumerate(self._batch(batch), start):
                heard(number, verdict)

    def _batch(self, prompts: Sequence[tuple[Rubric, str]]) -> list[Verdict]:
        encoded, listed = [], []
        for rubric, prompt in prompts:
            messages = [Message("user", prompt)]
            ids = encode_chat(self._tokenizer, messages, add_generation_prompt=True)
            if not self._sampler.fits(ids):
                raise ModelError(
                    f"judge '{self.name}', rubric '{rubric.name}': a prompt has {len(ids)} tokens, the context is "
                    f"{self._sampler.context}; take a judge with a longer context"
                )
            encoded.append(ids)
            listed.append(self._encoder.encode(messages, ids, replies(rubric)) or [])
        found = answer_logprobs(self._model, encoded, listed)
        verdicts: list[Verdict | None] = []
        for (rubric, _), logprobs in zip(prompts, found, strict=True):
            masses = dict(zip(replies(rubric), np.exp(logprobs).tolist(), strict=False))
            score, label, mass = weighed(rubric, masses)
            known = score is not None or label is not None
            raw = max(masses, key=masses.__getitem__) if known else ""
            verdicts.append(self._verdict(rubric, "probabilities", score, label, mass, raw) if known else None)
        open_ones = [number for number, verdict in enumerate(verdicts) if verdict is None]
        requests = [SampleRequest(tuple(encoded[number]), 1, 0.0, TEXT_TOKENS) for number in open_ones]
        for number, (answer,) in zip(open_ones, self._sampler.sample_many(requests), strict=True):
            rubric = prompts[number][0]
            score, label = written(rubric, answer.text)
            unscored = None
            if score is None and label is None:
                unscored = "off-rubric" if answer.text.strip() else "no-reply"
                unscored = "cut-off" if answer.stop_reason != "stop" and answer.text.strip() else unscored
            verdicts[number] = self._verdict(rubric, "text", score, label, None, answer.text, unscored)
        return [verdict for verdict in verdicts if verdict is not None]

    def _verdict(
        self,
        rubric: Rubric,
        method: str,
        score: float | None,
        label: str | None,
        mass: float | None,
        raw: str,
        unscored: str | None = None,
    ) -> Verdict:
        return Verdict(rubric.name, self.name, rubric.hash, method, score, label, unscored, mass, raw)
