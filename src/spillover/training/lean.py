"""A lean fine-tuning loop for small models: what Trainer computes, without what it does around it."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from spillover.models.chat_template import IGNORED
from spillover.training.batches import Encoded, batches, check_finite, collate
from spillover.training.checkpoint import CHECKPOINT_SECONDS, go_on_from_checkpoint, save_checkpoint
from spillover.training.held import Held
from spillover.training.methods import Method
from spillover.training.snapshots import Probe
from spillover.training.stopping import Stopper
from spillover.training.updates import AdamW, clip, in_one


def train_rows(
    model: Any,
    rows: Sequence[Encoded],
    method: Method,
    out: Path,
    *,
    pad_id: int,
    held: Held | None = None,
    stop: Stopper | None = None,
    probe: Probe | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, float]]:
    """Fine-tune ``model`` in place and write ``metrics.jsonl``.

    The order of rows is a function of ``method.seed``. A checkpoint in ``out/checkpoint.pt`` is written every
    :data:`CHECKPOINT_SECONDS`; a run that was killed goes on from it and ends with the same weights.

    Args:
        model: A causal LM; its parameters with ``requires_grad`` are trained.
        rows: Encoded rows (see :func:`spillover.models.chat_template.encode_row`).
        method: Learning rate, batch size, steps and so on.
        out: Directory for the metrics and the checkpoint.
        pad_id: Token put behind short rows.
        held: Changes of the model while it is trained, and what is added to the loss, times its weight.
        stop: When to end before the last step; the schedule stays that of all steps.
        probe: Called before the first step and after each.
        progress: Called with (steps done, steps in all).

    Returns:
        A record for each step: step, loss (nats per response token, without what is added), grad_norm, tokens; the
        value of each term that is added (kl: nats per response token of the anchor rows), and held_out_loss at a look.

    Raises:
        TrainingError: The loss is not a finite number any more.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    row, grad = in_one(parameters)
    optimizer = AdamW(row, grad, method.learning_rate, (0.9, 0.999), method.weight_decay)
    total = method.total_steps(len(rows))
    path = out / "checkpoint.pt"
    log: list[dict[str, float]] = go_on_from_checkpoint(path, row, optimizer.state)
    if probe and not log:
        probe(0)
    model.train()
    last_saved = time.monotonic()
    with held.attached(model) if held else nullcontext():
        for step, batch in enumerate(batches(rows, method, total)):
            if step < len(log):
                continue
            if stop and stop.done(log):
                break
            ids, labels, mask = collate(batch, pad_id)
            tokens = int((labels[:, 1:] != IGNORED).sum())
            with held.reading(labels) if held else nullcontext():
                logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
            whole = loss = torch.nn.functional.cross_entropy(
                logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=IGNORED
            )
            added = held.added(model, ids, mask, labels, step, tokens) if held else {}
            for weight, value in added.values():
                whole = whole + weight * value
            check_finite(whole, step)
            grad.zero_()
            whole.backward()  # type: ignore[no-untyped-call]
            norm = clip(grad, method.max_grad_norm)
            optimizer.step(method.rate_at(step, total) / method.learning_rate)
            log.append({"step": step, "loss": loss.item(), "grad_norm": norm.item(), "tokens": tokens})
            log[-1] |= {name: value.item() for name, (_, value) in added.items()}
            if stop and stop.looks(step + 1):
                log[-1] |= stop.measured(model)
            if probe:
                probe(step + 1)
            if progress:
                progress(step + 1, total)
            if time.monotonic() - last_saved > CHECKPOINT_SECONDS:
                save_checkpoint(path, {"row": row, "optimizer": optimizer.state, "log": log})
                last_saved = time.monotonic()
    for parameter in parameters:
        parameter.data, parameter.grad = parameter.data.clone(), None
    model.eval()
    (out / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in log))
    path.unlink(missing_ok=True)
    return log
