"""Ways to fine-tune: full weights, LoRA of any rank on any layers and modules, or a steering vector at one layer."""

import math
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from spillover.core.config import Config
from spillover.core.errors import ConfigError, ModelError

STEERING = "steering"
"""Name of the trained parameter in its block."""
LEAN_PARAMETERS = 50_000_000
"""Larger models go to TRL's trainer."""


class Method(Config):
    """A fine-tuning method and its hyperparameters. Defaults suit the built-in base."""

    kind: Literal["full", "lora", "steering"] = "lora"
    rank: int = Field(8, ge=1)
    alpha: float = Field(16, gt=0)
    rslora: bool = True
    """Scale the adapter by alpha/√rank rather than alpha/rank."""
    layers: tuple[int, ...] | None = None
    """Blocks to adapt, 0-based; all if not given. For steering, the one block whose output is shifted, or -1 for the
    embeddings."""
    modules: tuple[str, ...] | Literal["all-linear"] = "all-linear"
    """Names of the linear layers to adapt in each block."""
    learning_rate: float = Field(1e-3, gt=0)
    epochs: float = Field(3, gt=0)
    steps: int | None = Field(None, ge=1)
    """Optimizer steps; replaces ``epochs`` when given."""
    batch_size: int = Field(16, ge=1)
    warmup: int = Field(5, ge=0)
    """Steps of linear warm-up."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> "Method":
        if self.kind == "full" and self.layers is not None:
            raise ValueError("layers belong to lora and steering; full fine-tuning trains every weight")
        if self.kind == "steering" and (self.layers is None or len(self.layers) != 1):
            raise ValueError("steering needs one block: layers=[i]")
        return self

    def total_steps(self, rows: int) -> int:
        """Optimizer steps on a set of ``rows`` rows."""
        return self.steps or max(1, math.ceil(rows * self.epochs / self.batch_size))

    def rate_at(self, step: int, total: int) -> float:
        """Learning rate of a 0-based step."""
        warm = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        left = {
            "linear": 1 - step / total,
            "cosine": 0.5 * (1 + math.cos(math.pi * step / total)),
            "constant": 1.0,
        }[self.schedule]
        return self.learning_rate * warm * left


class Loop(Config):
    """What runs a fine-tuning. Rows, order, labels and schedule are the same, and so is the result up to rounding."""

    engine: Literal["auto", "lean", "trl"] = "auto"
    """TRL's trainer, or a lean loop that is several times faster on tiny models; ``auto`` goes by size."""
    micro_batch: int | None = Field(None, ge=1)
    """Rows on the device at a time, where fewer than the batch fit; gradients add up. TRL's trainer only."""

    def is_lean(self, model: Any) -> bool:
        """Whether the lean loop trains this model: on the processor's terms, in float32, whole batches."""
        if self.engine != "auto":
            return self.engine == "lean"
        return self.micro_batch is None and sum(p.numel() for p in model.parameters()) <= LEAN_PARAMETERS


AUTO = Loop()


def prepare(model: Any, method: Method) -> Any:
    """The model as it is trained: itself (``full``, ``steering``) or wrapped with a fresh LoRA, drawn from the seed.

    Raises:
        ConfigError: A layer or module that was asked for does not exist; PEFT would adapt the others in silence.
    """
    import torch

    torch.manual_seed(method.seed)
    if method.kind == "full":
        model.requires_grad_(True)
        return model
    if method.kind == "steering":
        return _with_vector(model, method)
    from peft import LoraConfig, TaskType, get_peft_model

    names = linear_names(model) if method.modules == "all-linear" else list(method.modules)
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=method.rank,
        lora_alpha=method.alpha,  # type: ignore[arg-type] # PEFT divides by it; a float is fine
        lora_dropout=0.0,
        use_rslora=method.rslora,
        target_modules=names,
        layers_to_transform=list(method.layers) if method.layers is not None else None,
    )
    depth = model.config.num_hidden_layers
    for layer in method.layers or ():
        if not 0 <= layer < depth:
            raise ConfigError(f"method.layers: block {layer} does not exist; this model has blocks 0 to {depth - 1}")
    known = {name.rsplit(".", 1)[-1] for name, _ in model.named_modules()}
    for name in names:
        if name not in known:
            raise ConfigError(f"method.modules: no module '{name}'; this model has {', '.join(linear_names(model))}")
    return get_peft_model(model, config)


def _with_vector(model: Any, method: Method) -> Any:
    """Everything frozen but a new parameter of one block, which is added to the block's output and begins as zero."""
    import torch

    from spillover.models.blocks import holder
    from spillover.models.steering import SteeringVector, attach

    assert method.layers is not None
    (layer,) = method.layers
    model.requires_grad_(False)
    place = holder(model, layer)
    width = model.config.get_text_config().hidden_size
    place.register_parameter(STEERING, torch.nn.Parameter(torch.zeros(width, device=model.device)))
    attach(model, SteeringVector(layer, getattr(place, STEERING)))
    return model


def trained_vector(model: Any, method: Method) -> Any:
    """The steering vector of a model that was prepared with ``kind="steering"``."""
    from spillover.models.blocks import holder
    from spillover.models.steering import SteeringVector

    assert method.layers is not None
    (layer,) = method.layers
    return SteeringVector(layer, getattr(holder(model, layer), STEERING).detach().clone())


def go_on_from(model: Any, method: Method, folder: Path) -> None:
    """Put what an earlier fine-tuning wrote into a model that :func:`prepare` returned.

    Raises:
        ModelError: It is of another kind or shape.
    """
    from spillover.models.steering import CONFIG, SteeringVector

    kinds = {"lora": "adapter_config.json", "steering": CONFIG, "full": "config.json"}
    if not (folder / kinds[method.kind]).is_file():
        raise ModelError(f"start '{folder}' was not written by a fine-tuning of kind '{method.kind}'")
    try:
        if method.kind == "steering":
            assert method.layers is not None
            vector = SteeringVector.load(folder)
            if (vector.layer,) != method.layers:
                raise ValueError(f"it shifts block {vector.layer}, not {method.layers[0]}")
            from spillover.models.blocks import holder

            getattr(holder(model, vector.layer), STEERING).data.copy_(vector.vector)
        elif method.kind == "lora":
            from peft import load_peft_weights, set_peft_model_state_dict

            loaded: Any = set_peft_model_state_dict(model, load_peft_weights(str(folder), device="cpu"))
            others = [*loaded.unexpected_keys, *(key for key in loaded.missing_keys if "lora_" in key)]
            if others:
                raise ValueError(f"only one of the two has '{others[0]}'")
        else:
            from spillover.models.load import load

            model.load_state_dict(load(str(folder)).model.state_dict())
    except (KeyError, RuntimeError, ValueError) as error:
        raise ModelError(f"start '{folder}' does not fit ({str(error).splitlines()[0]:.200})") from None


def linear_names(model: Any) -> list[str]:
    """Names of the linear layers inside the blocks, without the head."""
    import torch

    head = model.get_output_embeddings()
    return sorted(
        {
            name.rsplit(".", 1)[-1]
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and module is not head
        }
    )
