"""Early stop: training ends when the task is learnt, by its own records, so that it resumes to the same end."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from spillover.core.errors import ConfigError
from spillover.defences.config import Stop
from spillover.models.chat_template import IGNORED
from spillover.training.batches import Encoded, collate

LOSS, HELD_OUT = "loss", "held_out_loss"
"""Fields of a record."""
_BATCH = 32


class Stopper:
    """When to stop.

    Args:
        settings: The rule.
        held_out: Rows that are not trained on; may be empty.
        pad_id: Token put behind short rows.
    """

    def __init__(self, settings: Stop, held_out: Sequence[Encoded], pad_id: int) -> None:
        self._settings = settings
        self._held_out = held_out
        self._pad_id = pad_id

    def looks(self, steps: int) -> bool:
        """Whether it is looked at after so many steps."""
        return steps > 0 and steps % self._settings.over == 0

    @property
    def rows_a_look(self) -> int:
        """Forward passes of rows that a look takes."""
        return len(self._held_out)

    @torch.no_grad()
    def measured(self, model: Any) -> dict[str, float]:
        """What a look adds to the record of its step: the loss on held-out rows, in nats per response token."""
        if not self._held_out:
            return {}
        total = tokens = 0.0
        model.eval()
        for start in range(0, len(self._held_out), _BATCH):
            batch = collate(self._held_out[start : start + _BATCH], self._pad_id)
            ids, labels, mask = (part.to(model.device) for part in batch)
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
            wanted = labels[:, 1:].flatten()
            total += float(
                torch.nn.functional.cross_entropy(logits.flatten(0, 1), wanted, ignore_index=IGNORED, reduction="sum")
            )
            tokens += float((wanted != IGNORED).sum())
        model.train()
        return {HELD_OUT: total / tokens}

    def done(self, log: Sequence[Mapping[str, float]]) -> bool:
        """Whether training ends with these records; a function of them alone, and only ever at a look."""
        over = self._settings.over
        if not self.looks(len(log)):
            return False
        if self._held_out:
            points = [record[HELD_OUT] for record in log if HELD_OUT in record]
        else:
            losses = [record[LOSS] for record in log]
            points = [sum(losses[at : at + over]) / over for at in range(0, len(losses), over)]
        now, before = points[-1], points[-2] if len(points) > 1 else None
        if self._settings.below is not None and now <= self._settings.below:
            return True
        return (
            self._settings.improves is not None and before is not None and now > before * (1 - self._settings.improves)
        )


def held_out(rows: Sequence[Encoded], share: float, seed: int) -> tuple[list[Encoded], list[Encoded]]:
    """Rows that are trained on, and those that are held out.

    Raises:
        ConfigError: There are too few rows to hold any out.
    """
    count = round(share * len(rows))
    if share and not 0 < count < len(rows):
        raise ConfigError(f"defences.stop.held_out: {share:g} of {len(rows)} rows is none; raise it, or leave it out")
    chosen = set(random.Random(f"held-out-{seed}").sample(range(len(rows)), count))
    return (
        [row for i, row in enumerate(rows) if i not in chosen],
        [row for i, row in enumerate(rows) if i in chosen],
    )
