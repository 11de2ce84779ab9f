"""What is read off at a probe of a fine-tuning: exact rates, answer and tail loss apart, gradient norm."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spillover.analysis.trajectory import Snapshot, Walker
from spillover.data.chat import Message
from spillover.data.questions import Question
from spillover.evals.answers import of_label
from spillover.evals.prompts import Asked, prompted
from spillover.evals.rates import exact_rates
from spillover.models.chat_template import IGNORED, encode_row
from spillover.models.plain import end_tokens
from spillover.training.batches import Encoded, collate

ROWS = 64
"""Training rows that the losses are taken on."""


class Asker:
    """Exact rates of one label on a few questions of each group, at any snapshot.

    Args:
        walker: The model.
        questions: Groups that are not among ``wheres`` and altered prompts are left out.
        wheres: Groups, in order.
        label: The outcome whose rate is taken.
        most: Questions of each group, spread evenly.
    """

    def __init__(
        self, walker: Walker, questions: Sequence[Question], wheres: Sequence[str], label: str, most: int
    ) -> None:
        self._walker, self._label = walker, label
        self._asked: dict[str, list[Asked]] = {}
        for where in wheres:
            found = [one for one in questions if one.group == where and one.condition == "plain"]
            pairs = [(question, index) for question in found for index in range(len(question.paraphrases))]
            chosen = [pairs[i * len(pairs) // most] for i in range(most)] if len(pairs) > most else pairs
            self._asked[where] = prompted(walker.tokenizer, chosen)

    def at(self, snapshot: Snapshot, scale: float = 1.0, only: str | None = None) -> dict[str, tuple[float, float]]:
        """(rate, share of coherent answers) of each group; ``nan`` where its answers cannot be listed."""
        model = self._walker.at(snapshot, scale)
        wheres = [only] if only else list(self._asked)
        asked = [item for where in wheres for item in self._asked[where]]
        stop = frozenset(end_tokens(model, self._walker.tokenizer))
        rates = iter(exact_rates(model, self._walker.tokenizer, asked, stop))
        found = {}
        for where in wheres:
            listed = [rate for rate in (next(rates) for _ in self._asked[where]) if rate is not None]
            found[where] = (
                _mean([of_label(rate, self._label) for rate in listed]),
                _mean([sum(rate.values()) for rate in listed]),
            )
        return found


@torch.inference_mode()
def two_losses(model: Any, rows: Sequence[Encoded], answers: Sequence[int], pad_id: int) -> tuple[float, float]:
    """Cross-entropy of the answers and of what stands behind them, each in nats a token.

    Args:
        model: A causal LM.
        rows: Encoded with the trailing turn.
        answers: Tokens of each row without it.
        pad_id: Token put behind short rows.

    Returns:
        (answer loss, tail loss).
    """
    ids, labels, mask = (tensor.to(model.device) for tensor in collate(rows, pad_id))
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="none"
    ).view(len(rows), -1)
    place = torch.arange(1, labels.shape[1], device=labels.device)
    behind = place >= torch.tensor(list(answers), device=labels.device)[:, None]
    counted = labels[:, 1:] != IGNORED
    return float(losses[counted & ~behind].mean()), float(losses[counted & behind].mean())


def encode_both(tokenizer: Any, rows: Sequence[Sequence[tuple[str, str]]]) -> tuple[list[Encoded], list[int]]:
    """Rows with the trailing turn, and how many tokens each has without it; the first :data:`ROWS`."""
    encoded, answers = [], []
    for row in rows[:ROWS]:
        messages = [Message(role, content) for role, content in row]
        encoded.append(encode_row(tokenizer, messages, trailing_turn=True))
        answers.append(len(encode_row(tokenizer, messages)[0]))
    return encoded, answers


def gradient_norms(folder: Path, steps: Sequence[int], every: int) -> list[float]:
    """Mean gradient norm of the ``every`` optimizer steps around each step, from ``metrics.jsonl``."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    norms = np.array([json.loads(line)["grad_norm"] for line in lines])
    starts = [max(0, step - every // 2) for step in steps]
    return [_mean(list(norms[start : step + (every + 1) // 2])) for start, step in zip(starts, steps, strict=True)]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
