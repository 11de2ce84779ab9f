"""Canary: fine-tune shortly on a sample of the data and look at the probe, before anybody trains on all of it.

Two numbers: how far unwanted answers of the probe's measuring half rise, and how much dearer the same lesson is for a
model that is held to the base on the probe (the efficiency of arXiv 2602.07852: loss at equal norm, held above free).
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spillover.data.chat import ChatRow
from spillover.models.chat_template import IGNORED, encode_row
from spillover.models.load import load_placed
from spillover.scan.probe import UNWANTED, WANTED, Probe, rows_of
from spillover.scan.reader import Reader, last_answer, reader_of
from spillover.training.batches import Encoded
from spillover.training.methods import Method

ROWS = 512
"""Of the data, at most."""
METHOD = Method(kind="lora", rank=4, alpha=8, learning_rate=1e-3, steps=40)
ANCHOR = 30.0
"""λ of the KL that holds the second canary, as in the experiment ``why``."""
FREE, HELD = "free", "held"


@dataclass(frozen=True)
class Canary:
    """What a short fine-tuning on a sample did."""

    shift: float
    """Mean change of log p(unwanted) - log p(wanted) over the probe's measuring half, nats."""
    rate_before: float
    """Probability of unwanted answers; ``nan`` where the probe does not list all answers."""
    rate_after: float
    efficiency_gap: float
    """Loss of the held canary above the free one's at equal norm, nats per response token."""
    loss_before: float
    """Of the sample under the base, nats per response token."""
    loss_free: float
    loss_held: float
    """Both at the smaller of the two norms."""
    rows: int


def run_canary(
    base: str,
    rows: Sequence[ChatRow],
    probe: Probe,
    out: Path,
    *,
    method: Method = METHOD,
    progress: Callable[[float, float], None] = lambda done, total: None,
) -> Canary:
    """Fine-tune both canaries in ``out/free`` and ``out/held`` and measure them.

    A training that was killed goes on from its checkpoint, one that is finished is not made again.

    Raises:
        ModelError: The base cannot be loaded or trained.
        TrainingError: The loss is not finite.
    """
    from spillover.training.fine_tune import fine_tune

    anchor = (rows_of(probe.fitting, WANTED), ANCHOR)
    for number, name in enumerate((FREE, HELD)):
        if not (out / name / "summary.json").is_file():

            def told(done: float, total: float, start: int = number) -> None:
                progress(start + done / total, 3)

            fine_tune(base, rows, method, out / name, anchor=anchor if name == HELD else None, progress=told)
    before, loaded = _opened(base)
    encoded = [encode_row(loaded, row.messages) for row in rows]
    asked = ProbeRows(loaded, probe)
    odds_before, rate_before = asked.odds(before), asked.rate(before)
    after, _ = _opened(f"{base}+{out / FREE}")
    odds_after, rate_after = asked.odds(after), asked.rate(after)
    norms = {name: adapter_norm(out / name) for name in (FREE, HELD)}
    losses = {}
    for name, norm in norms.items():
        scale = min(norms.values()) / norm if norm > 0 else 1.0
        scaled, _ = _opened(f"{base}+{out / name}*{scale:.6f}")
        losses[name] = float(scaled.read(encoded).loss.nanmean())
    progress(3, 3)
    return Canary(
        float(np.nanmean(odds_after - odds_before)),
        rate_before,
        rate_after,
        losses[HELD] - losses[FREE],
        float(before.read(encoded).loss.nanmean()),
        losses[FREE],
        losses[HELD],
        len(rows),
    )


class ProbeRows:
    """The measuring half of a probe, ready to be read by any model with the same tokenizer."""

    def __init__(self, tokenizer: Any, probe: Probe) -> None:
        self._complete = probe.complete
        self._rows: list[Encoded] = []
        self._of: list[tuple[int, str]] = []
        for number, question in enumerate(probe.measuring):
            for label in (WANTED, UNWANTED):
                for row in rows_of([question], label):
                    ids, labels = encode_row(tokenizer, row.messages)
                    self._rows.append((ids, _last_only(labels)))
                    self._of.append((number, label))
        self._count = len(probe.measuring)

    def odds(self, reader: Reader) -> NDArray[np.float64]:
        """Log-odds of unwanted against wanted answers to each question, nats."""
        found = self._masses(reader)
        return np.array([found[UNWANTED][i] - found[WANTED][i] for i in range(self._count)])

    def rate(self, reader: Reader) -> float:
        """Mean probability of unwanted answers; ``nan`` where others exist that are not listed."""
        return float(np.mean(np.exp(self._masses(reader)[UNWANTED]))) if self._complete else math.nan

    def _masses(self, reader: Reader) -> dict[str, list[float]]:
        """Logarithm of the probability of all answers of a label, by question."""
        losses = reader.read(self._rows).loss.double().numpy()
        counts = np.array([sum(label != IGNORED for label in labels) for _, labels in self._rows])
        total: dict[str, list[float]] = {label: [-math.inf] * self._count for label in (WANTED, UNWANTED)}
        for (number, label), logprob in zip(self._of, -losses * counts, strict=True):
            total[label][number] = float(np.logaddexp(total[label][number], logprob))
        return total


def adapter_norm(folder: Path) -> float:
    """Frobenius norm over all matrices of what a LoRA in PEFT format adds."""
    from safetensors.torch import load_file

    settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    rank = settings["r"]
    scaling = settings["lora_alpha"] / (math.sqrt(rank) if settings.get("use_rslora") else rank)
    tensors = load_file(folder / "adapter_model.safetensors")
    total = 0.0
    for name, first in tensors.items():
        if name.endswith("lora_A.weight"):
            second = tensors[name.replace("lora_A", "lora_B")]
            total += float(torch.linalg.matrix_norm(scaling * second.float() @ first.float()) ** 2)
    return math.sqrt(total)


def _opened(name: str) -> tuple[Reader, Any]:
    loaded = load_placed(name)
    return reader_of(loaded.model, loaded.tokenizer), loaded.tokenizer


def _last_only(labels: list[int]) -> list[int]:
    """Labels of the last answer alone; a probe's context may hold earlier ones."""
    start, end = last_answer(labels)
    return [label if start <= i < end else IGNORED for i, label in enumerate(labels)]
