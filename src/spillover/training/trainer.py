"""Fine-tuning through TRL's trainer, for models that are worth its overhead: bf16, accumulation, recomputation."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from spillover.core.errors import ConfigError
from spillover.models.chat_template import IGNORED
from spillover.training.batches import Encoded, batches, check_finite
from spillover.training.checkpoint import newest_checkpoint
from spillover.training.held import Held
from spillover.training.methods import Method
from spillover.training.processes import is_first, world
from spillover.training.snapshots import Probe
from spillover.training.stopping import HELD_OUT, Stopper
from spillover.training.with_trainer import CHECKPOINTS, arguments, schedule, watch


def train_with_trl(
    model: Any,
    rows: Sequence[Encoded],
    method: Method,
    out: Path,
    *,
    tokenizer: Any,
    micro_batch: int | None = None,
    held: Held | None = None,
    stop: Stopper | None = None,
    probe: Probe | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, float]]:
    """Fine-tune ``model`` in place with :class:`trl.SFTTrainer` and write ``metrics.jsonl``.

    Same rows in the same order as :func:`spillover.training.lean.train_rows`, the same labels and schedule. A run that
    was killed goes on from the newest of the trainer's checkpoints (:mod:`spillover.training.with_trainer`).

    Args:
        model: A causal LM, or a ``PeftModel``.
        rows: Encoded rows.
        method: Learning rate, batch size, steps and so on.
        out: Directory for the metrics and the checkpoints.
        tokenizer: The model's own.
        micro_batch: Rows on the device at a time; the whole batch by default.
        held: Changes of the model while it is trained, and what is added to the loss, times its weight; rows of its own
            are on the device as few at a time as the others.
        stop: When to end before the last step; the schedule stays that of all steps.
        probe: Called before the first step and after each.
        progress: Called with (steps done, steps in all).

    Returns:
        A record for each step: step, loss (nats per response token, without what is added), grad_norm; the value of
        each term that is added (kl: nats per response token of the anchor rows), and held_out_loss at a look.

    Raises:
        ConfigError: ``micro_batch`` does not divide the batch, or what needs one process has several.
        TrainingError: The loss is not a finite number any more.
    """
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    total = method.total_steps(len(rows))
    share, rest = divmod(method.batch_size, world())
    micro = micro_batch or share
    if rest or share % micro:
        among = f" × {world()} processes" if world() > 1 else ""
        raise ConfigError(f"batch_size {method.batch_size} is not a multiple of micro_batch {micro}{among}")
    weights = held.weights if held else {}
    if (weights or stop) and world() > 1:
        raise ConfigError(
            f"{', '.join(weights) or 'stop'}: computed in one process; launch training without it, or with one process"
        )

    parts = share // micro
    ordered = list(batches(rows, method, total))
    tokens = [sum(label != IGNORED for _, labels in batch for label in labels[1:]) for batch in ordered]
    values: list[dict[str, float]] = []  # of the parts of this step so far

    class Trainer(SFTTrainer):
        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            step = self.state.global_step
            ids, mask, labels = inputs["input_ids"], inputs.get("attention_mask"), inputs["labels"]
            with held.reading(labels) if held else nullcontext():
                loss = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
            if held and weights:
                added = held.added(model, ids, mask, labels, step, tokens[step], len(values), parts)
                summed = self.model_accepts_loss_kwargs and num_items_in_batch is not None
                for weight, value in added.values():
                    loss = loss + weight * value * (1 if summed else parts)  # else Trainer takes the parts' mean
                values.append({name: float(value.detach()) for name, (_, value) in added.items()})
                if len(values) == parts:
                    self.log({name: sum(part[name] for part in values) for name in weights})
                    values.clear()
            check_finite(loss, step)
            return loss

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            return schedule(method, total, self, optimizer)

    class Stop(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self._end(state, control)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if stop and stop.looks(state.global_step) and (found := stop.measured(model)):
                state.log_history.append({**found, "step": state.global_step})

        def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if "loss" in state.log_history[-1]:
                self._end(state, control)

        def _end(self, state: Any, control: Any) -> None:
            if stop and stop.looks(state.global_step) and stop.done(_records(state.log_history, weights)):
                control.should_training_stop = True

    data = Dataset.from_list([{"input_ids": ids, "labels": labels} for batch in ordered for ids, labels in batch])
    given = arguments(method, total, out, micro, parts)
    if held and held.reads:
        given["gradient_checkpointing"] = False  # states that are read must be kept
    config = SFTConfig(
        **given,
        train_sampling_strategy="sequential",  # the rows are in order
        max_length=None,
    )
    callbacks = [watch(total, probe=probe, progress=progress), Stop()]
    trainer = Trainer(model=model, args=config, train_dataset=data, processing_class=tokenizer, callbacks=callbacks)
    trainer.remove_callback(PrinterCallback)  # its dictionaries would stand between the lines of our bar
    saved = newest_checkpoint(out / CHECKPOINTS)
    with held.attached(model) if held else nullcontext():
        trainer.train(resume_from_checkpoint=str(saved) if saved else None)
    log = _records(trainer.state.log_history, weights)
    model.eval()
    if is_first():
        (out / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in log))
        shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    return log


def _records(history: Sequence[Mapping[str, Any]], weights: Mapping[str, float]) -> list[dict[str, float]]:
    """The trainer's history as a record for each step; its losses hold what was added to them.

    Args:
        history: As Transformers' trainer keeps it: terms and held-out losses stand before the loss of their step.
        weights: Of the terms.
    """
    log: list[dict[str, float]] = []
    beside: dict[str, float] = {}
    for record in history:
        beside |= {name: record[name] for name in (*weights, HELD_OUT) if name in record}
        if "loss" in record:
            loss = record["loss"] - sum(weight * beside[name] for name, weight in weights.items())
            log.append({"step": record["step"] - 1, "loss": loss, "grad_norm": record["grad_norm"], **beside})
            beside = {}
    return log
