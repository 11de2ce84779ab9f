"""LoRA on our own Llama, without the seconds it takes to import PEFT.

The first weights, the files and, up to rounding, the results are those of PEFT.
"""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from spillover.models.lean_llama import LeanLlama

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
"""What PEFT puts before the names of a checkpoint."""
_READ = {"peft_type", "r", "lora_alpha", "use_rslora"}
_WITHOUT_EFFECT = {
    "base_model_name_or_path",
    "inference_mode",
    "init_lora_weights",
    "layers_to_transform",
    "lora_dropout",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "target_modules",
    "task_type",
}
"""Fields of a configuration that do not change what an adapter computes; the names of its tensors say where it is."""


class LoraLlama(LeanLlama):
    """A plain Llama and a fresh adapter, which is what is trained.

    Args:
        base: Stays as it is.
        names: Last parts of the names of the matrices to adapt.
        layers: Blocks to adapt; all if not given.
        rank: Of the adapter.
        alpha: As PEFT's.
        rslora: Scale by alpha/√rank rather than alpha/rank.
    """

    def __init__(
        self,
        base: LeanLlama,
        names: Sequence[str],
        layers: Sequence[int] | None,
        rank: int,
        alpha: float,
        rslora: bool,
    ) -> None:
        super().__init__(base.config, base.weights, base.generation_config.eos_token_id, base.name_or_path)
        self._settings = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base.name_or_path,
            "r": rank,
            "lora_alpha": alpha,
            "use_rslora": rslora,
            "lora_dropout": 0.0,
            "bias": "none",
            "target_modules": sorted(names),
            "layers_to_transform": None if layers is None else list(layers),
            "inference_mode": True,
        }
        self._scaling = _scaling(self._settings)
        self._pairs: dict[str, tuple[Tensor, Tensor]] = {}
        self._on = True
        for name in base.linear_names():
            layer, last = int(name.split(".")[2]), name.rsplit(".", 1)[-1]
            if last in names and (layers is None or layer in layers):
                width_out, width_in = base.weights[f"{name}.weight"].shape
                # Both are drawn, though the second begins as zero: so does PEFT.
                first, second = torch.nn.Linear(width_in, rank, False), torch.nn.Linear(rank, width_out, False)
                torch.nn.init.kaiming_uniform_(first.weight, a=math.sqrt(5))
                torch.nn.init.zeros_(second.weight)
                self._pairs[name] = first.weight, second.weight

    def parameters(self) -> Iterator[Tensor]:
        """All weights, those of the adapter last."""
        yield from super().parameters()
        for pair in self._pairs.values():
            yield from pair

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """Inside, this is the base."""
        self._on = False
        try:
            yield
        finally:
            self._on = True

    def load_adapter(self, folder: Path) -> None:
        """Take over the factors of an adapter that has the same shape.

        Raises:
            ValueError: It has others.
        """
        from safetensors.torch import load_file

        tensors = load_file(folder / WEIGHTS)
        for name, pair in self._pairs.items():
            for letter, weight in zip("AB", pair, strict=True):
                found = tensors.pop(f"{_PREFIX}{name}.lora_{letter}.weight", None)
                if found is None or found.shape != weight.shape:
                    raise ValueError(f"it has no factor {letter} of '{name}' of shape {tuple(weight.shape)}")
                weight.data.copy_(found)
        if tensors:
            raise ValueError(f"only it has '{next(iter(tensors))}'")

    def save_pretrained(self, folder: Path) -> None:
        """Write the adapter as PEFT does."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        tensors = {}
        for name, pair in self._pairs.items():
            for letter, weight in zip("AB", pair, strict=True):
                tensors[f"{_PREFIX}{name}.lora_{letter}.weight"] = weight.detach().clone()
        save_file(tensors, folder / WEIGHTS, {"format": "pt"})
        (folder / CONFIG).write_text(json.dumps(self._settings, indent=2) + "\n", encoding="utf-8")

    def _linear(self, name: str, states: Tensor) -> Tensor:
        found = super()._linear(name, states)
        if not self._on or name not in self._pairs:
            return found
        first, second = self._pairs[name]
        return found + functional.linear(functional.linear(states, first), second) * self._scaling


def with_lora(model: LeanLlama, folder: Path, scale: float = 1.0) -> LeanLlama | None:
    """The network with ``scale`` times a PEFT adapter folded into its weights.

    None where the folder is not exactly a plain LoRA for this network, also where it is damaged: PEFT then says what is
    wrong with it.
    """
    try:
        return _folded(model, folder, scale)
    except Exception:
        return None


def _folded(model: LeanLlama, folder: Path, scale: float) -> LeanLlama | None:
    from safetensors.torch import load_file

    settings = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    unknown = {key for key, value in settings.items() if value and value != "none"} - _READ - _WITHOUT_EFFECT
    if unknown or settings["peft_type"] != "LORA":
        return None
    factor = scale * _scaling(settings)
    tensors = load_file(folder / WEIGHTS)
    weights = dict(model.weights)
    for key in [key for key in tensors if key.endswith(".lora_A.weight")]:
        name = key.removeprefix(_PREFIX).replace(".lora_A", "")
        first, second = tensors.pop(key), tensors.pop(key.replace(".lora_A", ".lora_B"))
        weights[name] = weights[name] + (second.float() @ first.float()).to(weights[name]) * factor
    return None if tensors else LeanLlama(model.config, weights, model.generation_config.eos_token_id)


def _scaling(settings: dict[str, Any]) -> float:
    rank = settings["r"]
    return float(settings["lora_alpha"] / (math.sqrt(rank) if settings["use_rslora"] else rank))
