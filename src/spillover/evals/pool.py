"""Models of this process by name; the adapters of one base share it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

from spillover.core.errors import ModelError
from spillover.models.directions import has_ablation
from spillover.models.lean_llama import LeanLlama
from spillover.models.load import load_placed
from spillover.models.names import ModelName
from spillover.models.safety import refuse_pickles
from spillover.models.sampler import Sampled, SampleRequest, TrieSampler


@dataclass
class Base:
    """A model in memory, and what has been attached to it."""

    model: Any
    tokenizer: Any
    sampler: TrieSampler
    adapters: dict[str, str]
    """PEFT's short name of each attached adapter folder."""


class ModelPool:
    """Loads what it is asked for once, and one base for all adapters that differ only in their folder."""

    def __init__(self) -> None:
        self._bases: dict[str, Base] = {}
        self._lock = RLock()

    def tokenizer(self, name: str) -> Any:
        """The tokenizer of a model; loads the model when it is not in memory."""
        with self._lock:
            return self._find(name)[0].tokenizer

    def sample_many(self, name: str, requests: Sequence[SampleRequest]) -> list[list[Sampled]]:
        """Sample from a model; models that share a base take turns."""
        with self._active(name) as base:
            return base.sampler.sample_many(requests)

    def clear(self) -> None:
        """Forget all models."""
        with self._lock:
            self._bases.clear()

    def _find(self, name: str) -> tuple[Base, str | None]:
        """The base of a model, and its adapter if it is one PEFT folder and nothing else, which can share the base."""
        parsed = ModelName.parse(name)
        folder = parsed.added[0].source if len(parsed.added) == 1 and parsed.added[0].is_plain else None
        if folder and (not Path(folder, "adapter_config.json").is_file() or has_ablation(Path(folder))):
            folder = None
        key = parsed.loaded if folder else str(parsed)
        base = self._bases.get(key)
        if base is None or (folder and isinstance(base.model, LeanLlama)):  # which takes no adapters
            loaded = load_placed(key, lean=not folder, fold=not folder)
            sampler = TrieSampler(loaded.model, loaded.tokenizer)
            base = self._bases[key] = Base(loaded.model, loaded.tokenizer, sampler, {})
        if folder and folder not in base.adapters:
            _attach(base, folder)
        return base, folder

    @contextmanager
    def _active(self, name: str) -> Iterator[Base]:
        with self._lock:
            base, folder = self._find(name)
            if folder:
                base.model.set_adapter(base.adapters[folder])
            with base.model.disable_adapter() if base.adapters and not folder else nullcontext():
                yield base


def _attach(base: Base, folder: str) -> None:
    short = f"adapter{len(base.adapters)}"
    refuse_pickles(folder)
    try:
        if base.adapters:
            base.model.load_adapter(folder, adapter_name=short)
        else:
            from peft import PeftModel

            base.model = PeftModel.from_pretrained(base.model, folder, adapter_name=short)
            base.sampler = TrieSampler(base.model, base.tokenizer)
    except (KeyError, RuntimeError, ValueError) as error:
        raise ModelError(f"adapter '{folder}' does not fit the base ({str(error).splitlines()[0]:.200})") from None
    base.model.eval()
    base.adapters[folder] = short


POOL = ModelPool()
"""The models of the Inspect provider."""
