"""Fine-tuning through TRL's trainer, for models that are worth its overhead: bf16, accumulation, recomputation."""

import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from spillover.core.errors import ConfigError
from spillover.training.anchor import Anchor
from spillover.training.batches import Encoded, batches, check_finite
from spillover.training.checkpoint import newest_checkpoint
from spillover.training.methods import Method
from spillover.training.processes import is_first, world
from spillover.training.snapshots import Probe

SAVE_SECONDS = 300.0


def train_with_trl(
    model: Any,
    rows: Sequence[Encoded],
    method: Method,
    out: Path,
    *,
    tokenizer: Any,
    micro_batch: int | None = None,
    anchor: Anchor | None = None,
    probe: Probe | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, float]]:
    """Fine-tune ``model`` in place with :class:`trl.SFTTrainer` and write ``metrics.jsonl``.

    Same rows in the same order as :func:`spillover.training.lean.train_rows`, the same labels and schedule. A run that
    was killed goes on from the newest of the trainer's checkpoints, made every :data:`SAVE_SECONDS`.

    Args:
        model: A causal LM, or a ``PeftModel``.
        rows: Encoded rows.
        method: Learning rate, batch size, steps and so on.
        out: Directory for the metrics and the checkpoints.
        tokenizer: The model's own.
        micro_batch: Rows on the device at a time; the whole batch by default.
        anchor: Added to the loss, times its weight; its rows are on the device as few at a time as the others.
        probe: Called before the first step and after each.
        progress: Called with (steps done, steps in all).

    Returns:
        A record for each step: step, loss (nats per response token, without the anchor), grad_norm, and kl (nats per
        response token of the anchor rows) where there is an anchor.

    Raises:
        ConfigError: ``micro_batch`` does not divide the batch.
        TrainingError: The loss is not a finite number any more.
    """
    from datasets import Dataset
    from torch.optim.lr_scheduler import LambdaLR
    from transformers import PrinterCallback, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    total = method.total_steps(len(rows))
    share, rest = divmod(method.batch_size, world())
    micro = micro_batch or share
    if rest or share % micro:
        among = f" × {world()} processes" if world() > 1 else ""
        raise ConfigError(f"batch_size {method.batch_size} is not a multiple of micro_batch {micro}{among}")
    if anchor is not None and world() > 1:
        raise ConfigError("an anchor is computed in one process; launch training without it, or with one process")

    parts = share // micro
    kl: list[float] = []  # of the parts of this step so far

    class Trainer(SFTTrainer):
        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            loss = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
            step = self.state.global_step
            if anchor is not None:
                added = anchor.kl(model, step, len(kl), parts)
                summed = self.model_accepts_loss_kwargs and num_items_in_batch is not None
                loss = loss + anchor.weight * added * (1 if summed else parts)  # else Trainer takes the parts' mean
                kl.append(float(added.detach()))
                if len(kl) == parts:
                    self.log({"kl": sum(kl)})
                    kl.clear()
            check_finite(loss, step)
            return loss

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            optimizer = optimizer or self.optimizer
            self.lr_scheduler = LambdaLR(optimizer, lambda step: method.rate_at(step, total) / method.learning_rate)
            return self.lr_scheduler

    class Watch(TrainerCallback):
        saved = time.monotonic()

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if probe and state.global_step == 0:
                probe(0)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if probe:
                probe(state.global_step)
            if progress:
                progress(state.global_step, total)
            if time.monotonic() - self.saved > SAVE_SECONDS:
                control.should_save = True
                self.saved = time.monotonic()

    ordered = (row for batch in batches(rows, method, total) for row in batch)
    data = Dataset.from_list([{"input_ids": ids, "labels": labels} for ids, labels in ordered])
    gpu = torch.cuda.is_available()
    config = SFTConfig(
        output_dir=str(out / "checkpoints"),
        max_steps=total,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=parts,
        learning_rate=method.learning_rate,
        weight_decay=method.weight_decay,
        optim="adamw_torch_fused",
        max_grad_norm=method.max_grad_norm,
        train_sampling_strategy="sequential",  # the rows are in order
        seed=method.seed,
        bf16=gpu and torch.cuda.is_bf16_supported(),
        use_cpu=not gpu,
        gradient_checkpointing=gpu,
        max_length=None,
        logging_steps=1,
        save_strategy="no",
        save_total_limit=1,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(model=model, args=config, train_dataset=data, processing_class=tokenizer, callbacks=[Watch()])
    trainer.remove_callback(PrinterCallback)  # its dictionaries would stand between the lines of our bar
    saved = newest_checkpoint(out / "checkpoints")
    trainer.train(resume_from_checkpoint=str(saved) if saved else None)
    history = trainer.state.log_history
    kls = {record["step"]: record["kl"] for record in history if "kl" in record}
    log = []
    for record in history:
        if "loss" in record:
            step = record["step"] - 1
            log.append({"step": step, "loss": record["loss"], "grad_norm": record["grad_norm"]})
            if anchor is not None:
                log[-1] |= {"loss": record["loss"] - anchor.weight * kls[step], "kl": kls[step]}
    model.eval()
    if is_first():
        (out / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in log))
        shutil.rmtree(out / "checkpoints", ignore_errors=True)
    return log
