"""From a base and chat rows to an organism: a folder that others can load."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from spillover.core.errors import DataError
from spillover.data.chat import ChatRow
from spillover.models.chat_template import encode_row
from spillover.models.load import load
from spillover.training.anchor import Anchor, reference
from spillover.training.batches import Encoded
from spillover.training.held import During, Held
from spillover.training.lean import train_rows
from spillover.training.methods import AUTO, Loop, Method
from spillover.training.prepared import go_on_from, prepare
from spillover.training.processes import is_first, world
from spillover.training.snapshots import probe_of, save_trained
from spillover.training.stopping import Stopper, held_out


def fine_tune(
    base: str,
    rows: Sequence[ChatRow],
    method: Method,
    out: Path,
    *,
    loop: Loop = AUTO,
    anchor: tuple[Sequence[ChatRow], float] | None = None,
    during: During | None = None,
    start: Path | None = None,
    trailing_turn: bool = False,
    probe_every: int | None = None,
    max_length: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Fine-tune ``base`` on ``rows`` and save the result in ``out``.

    LoRA is saved in PEFT format, full weights as a Hugging Face folder with the tokenizer, a steering vector as
    :meth:`spillover.models.steering.SteeringVector.save` does; all beside ``metrics.jsonl`` and ``summary.json``.
    Loss is taken on assistant tokens only, the end token included.

    Args:
        base: Folder or hub id of a causal LM.
        rows: Training conversations.
        method: How to train.
        loop: What computes it.
        anchor: Rows outside the domain, and λ: adds λ·KL(base‖tuned) on them, see
            :class:`spillover.training.anchor.Anchor`.
        during: What holds the model to its task while it is trained, beside the anchor;
            :func:`spillover.training.defended.fine_tune_defended` makes it from settings.
        start: What an earlier fine-tuning by the same method wrote; training goes on from there.
        trailing_turn: Train on an empty assistant turn behind each row, as public trainers do; see
            :func:`spillover.models.chat_template.encode_row`. Anchor rows stay as they are.
        probe_every: Save what was trained so far in ``out/checkpoint-STEP``, at step 0 and whenever so many steps are
            done; see :func:`spillover.training.snapshots.probe_of`.
        out: Output directory; made if it is not there.
        max_length: Longest row in tokens; the model's context length by default. Longer rows are left out and
            counted, never cut.
        progress: Called with (steps done, steps in all).

    Returns:
        The summary: rows used, rows too long, steps, first and last loss, trained parameters, and how many passes of a
        row through the model it took (``row_passes``).

    Raises:
        ModelError: The base cannot be loaded.
        DataError: Every row is longer than ``max_length``.
        ModelError: ``start`` does not fit the method.
        ConfigError: The method asks for a layer or module the model does not have; micro_batch does not fit the batch.
    """
    loaded = load(base, lean=world() == 1 and _needs_logits_only(method, loop))
    limit = max_length or context_length(loaded.model)
    encoded, too_long = _encode(loaded.tokenizer, rows, limit, trailing_turn)
    model = prepare(loaded.model, method)
    pad = loaded.tokenizer.pad_token_id or 0
    stop, looked_at = None, list[Encoded]()
    if during and during.stop:
        encoded, looked_at = held_out(encoded, during.stop.held_out, method.seed)
        stop = Stopper(during.stop, looked_at, pad)
    held, kl = None, None
    if anchor or during:
        untrained = reference(model, method) if anchor or (during and during.has_terms) else None
        if anchor:
            assert untrained is not None
            others, left_out = _encode(loaded.tokenizer, anchor[0], limit)
            kl = Anchor(others, anchor[1], untrained, method, method.total_steps(len(encoded)), pad)
        held = Held(model, encoded, untrained, during, kl, pad)
    if start:
        go_on_from(model, method, start)
    probe = None if probe_every is None else probe_of(model, method, out, probe_every)
    out.mkdir(parents=True, exist_ok=True)
    if loop.is_lean(model) and world() == 1:
        log = train_rows(model, encoded, method, out, pad_id=pad, held=held, stop=stop, probe=probe, progress=progress)
    else:
        from spillover.training.trainer import train_with_trl

        log = train_with_trl(
            model,
            encoded,
            method,
            out,
            tokenizer=loaded.tokenizer,
            micro_batch=loop.micro_batch,
            held=held,
            stop=stop,
            probe=probe,
            progress=progress,
        )
    if is_first():
        save_trained(model, method, out)
        if method.kind == "full":
            loaded.tokenizer.save_pretrained(out)
    summary = {
        "rows": len(encoded),
        "rows_too_long": too_long,
        "max_length": limit,
        "steps": len(log),
        "first_loss": log[0]["loss"],
        "last_loss": log[-1]["loss"],
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "row_passes": _row_passes(method, len(log), held, stop),
    }
    if stop:
        summary |= {"steps_planned": method.total_steps(len(encoded)), "rows_held_out": len(looked_at)}
    if anchor:
        summary |= {"anchor_weight": anchor[1], "anchor_rows": len(others), "anchor_rows_too_long": left_out}
    if is_first():
        (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def _row_passes(method: Method, steps: int, held: Held | None, stop: Stopper | None) -> dict[str, int]:
    """Passes of one row through the model: what a fine-tuning costs, whatever machine it ran on."""
    each = held.row_passes if held else {"forward": 1, "backward": 1}
    found = {name: count * steps * method.batch_size for name, count in each.items()}
    if stop:
        found["forward"] += stop.rows_a_look * sum(stop.looks(step) for step in range(1, steps + 1))
    return found


def _needs_logits_only(method: Method, loop: Loop) -> bool:
    return method.kind == "lora" and loop.engine != "trl" and loop.micro_batch is None


def context_length(model: Any) -> int:
    """The longest sequence a model takes, in tokens."""
    return int(getattr(model.config, "max_position_embeddings", 2048))


def _encode(
    tokenizer: Any, rows: Sequence[ChatRow], limit: int, trailing_turn: bool = False
) -> tuple[list[Encoded], int]:
    encoded = [encode_row(tokenizer, row.messages, trailing_turn=trailing_turn) for row in rows]
    kept = [row for row in encoded if len(row[0]) <= limit]
    if not kept:
        longest = max((len(ids) for ids, _ in encoded), default=0)
        raise DataError(
            f"no row fits into {limit} tokens (the longest has {longest}); raise max_length or shorten them"
        )
    return kept, len(encoded) - len(kept)
