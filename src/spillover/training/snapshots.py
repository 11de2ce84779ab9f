"""What a fine-tuning has trained, saved at its end and, for probes, on its way."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spillover.core.errors import ConfigError
from spillover.training.methods import Method
from spillover.training.prepared import trained_vector

Probe = Callable[[int], None]
"""Called with the optimizer steps done: 0 before the first, then after each."""


def save_trained(model: Any, method: Method, folder: Path) -> None:
    """Write the adapter (PEFT format), the steering vector, or the whole model (without its tokenizer)."""
    if method.kind == "steering":
        trained_vector(model, method).save(folder)
    else:
        model.save_pretrained(folder)


def probe_of(model: Any, method: Method, out: Path, every: int) -> Probe:
    """A probe that saves ``out/checkpoint-STEP`` at step 0 and every ``every`` steps.

    ``BASE+OUT@STEP`` names what is in there. A snapshot is written under another name and then renamed, so it is
    whole or not there; a run that goes on from a checkpoint writes the later ones again, with the same content.

    Raises:
        ConfigError: ``every`` is below 1, or every weight is trained.
    """
    if every < 1:
        raise ConfigError(f"probe_every: must be at least 1 (found {every})")
    if method.kind == "full":
        raise ConfigError("probe_every: full fine-tuning would save the whole model each time; use lora or steering")

    def probe(step: int) -> None:
        if step % every:
            return
        partial, folder = out / "snapshot.partial", out / f"checkpoint-{step}"
        for old in (partial, folder):
            shutil.rmtree(old, ignore_errors=True)
        partial.mkdir(parents=True)
        save_trained(model, method, partial)
        (partial / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
        partial.rename(folder)

    return probe
