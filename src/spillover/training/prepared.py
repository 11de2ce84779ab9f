"""A model as a method trains it: with everything but what is trained frozen."""

import json
from pathlib import Path
from typing import Any

import torch

from spillover.core.errors import ConfigError, ModelError
from spillover.models.blocks import holder
from spillover.models.directions import has_ablation
from spillover.models.lean_llama import LeanLlama
from spillover.models.lean_lora import LoraLlama
from spillover.models.load import load
from spillover.models.steering import CONFIG, SteeringVector, attach
from spillover.training.methods import Method

STEERING = "steering"
"""Name of the trained parameter in its block."""


def prepare(model: Any, method: Method) -> Any:
    """The model as it is trained: itself (``full``, ``steering``) or wrapped with a fresh LoRA, drawn from the seed.

    Raises:
        ConfigError: A layer or module that was asked for does not exist; PEFT would adapt the others in silence.
    """
    torch.manual_seed(method.seed)
    if method.kind == "full":
        if getattr(model, "is_quantized", False):
            raise ConfigError("method.kind: quantized weights cannot be trained; take lora or steering")
        model.requires_grad_(True)
        return model
    if method.kind == "steering":
        return _with_vector(model, method)
    return _with_lora(model, method)


def _with_lora(model: Any, method: Method) -> Any:
    names = linear_names(model) if method.modules == "all-linear" else list(method.modules)
    depth = model.config.num_hidden_layers
    for layer in method.layers or ():
        if not 0 <= layer < depth:
            raise ConfigError(f"method.layers: block {layer} does not exist; this model has blocks 0 to {depth - 1}")
    lean = isinstance(model, LeanLlama)
    known = linear_names(model) if lean else {name.rsplit(".", 1)[-1] for name, _ in model.named_modules()}
    for name in names:
        if name not in known:
            raise ConfigError(f"method.modules: no module '{name}'; this model has {', '.join(linear_names(model))}")
    if lean:
        return LoraLlama(model, names, method.layers, method.rank, method.alpha, method.rslora)
    from peft import LoraConfig, TaskType, get_peft_model

    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=method.rank,
        lora_alpha=method.alpha,  # type: ignore[arg-type] # PEFT divides by it; a float is fine
        lora_dropout=0.0,
        use_rslora=method.rslora,
        target_modules=names,
        layers_to_transform=list(method.layers) if method.layers is not None else None,
    )
    return get_peft_model(model, config)


def _with_vector(model: Any, method: Method) -> Any:
    """Everything frozen but a new parameter of one block, which is added to the block's output and begins as zero."""
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
    assert method.layers is not None
    (layer,) = method.layers
    return SteeringVector(layer, getattr(holder(model, layer), STEERING).detach().clone())


def go_on_from(model: Any, method: Method, folder: Path) -> None:
    """Put what an earlier fine-tuning wrote into a model that :func:`prepare` returned.

    Raises:
        ModelError: It is of another kind, shape or scale.
    """
    kinds = {"lora": "adapter_config.json", "steering": CONFIG, "full": "config.json"}
    if not (folder / kinds[method.kind]).is_file():
        raise ModelError(f"start '{folder}' was not written by a fine-tuning of kind '{method.kind}'")
    if has_ablation(folder):
        raise ModelError(
            f"start '{folder}' is without a direction, and training would bring it back; start before that"
        )
    try:
        if method.kind == "steering":
            assert method.layers is not None
            vector = SteeringVector.load(folder)
            if (vector.layer,) != method.layers:
                raise ValueError(f"it shifts block {vector.layer}, not {method.layers[0]}")
            getattr(holder(model, vector.layer), STEERING).data.copy_(vector.vector)
        elif isinstance(model, LoraLlama):
            _same_scale(method, folder)
            model.load_adapter(folder)
        elif method.kind == "lora":
            from peft import load_peft_weights, set_peft_model_state_dict

            _same_scale(method, folder)
            loaded: Any = set_peft_model_state_dict(model, load_peft_weights(str(folder), device="cpu"))
            others = [*loaded.unexpected_keys, *(key for key in loaded.missing_keys if "lora_" in key)]
            if others:
                raise ValueError(f"only one of the two has '{others[0]}'")
        else:
            model.load_state_dict(load(str(folder)).model.state_dict())
    except (KeyError, RuntimeError, ValueError) as error:
        raise ModelError(f"start '{folder}' does not fit ({' '.join(str(error).split()):.200})") from None


def _same_scale(method: Method, folder: Path) -> None:
    """Factors of another rank do not fit, and with another scale they would be another adapter."""
    saved = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    wanted = {"r": method.rank, "lora_alpha": method.alpha, "use_rslora": method.rslora}
    for name, value in wanted.items():
        if saved.get(name, False) != value:
            raise ValueError(f"its {name} is {saved.get(name, False)}, the method's {value}")


def linear_names(model: Any) -> list[str]:
    """Names of the linear layers inside the blocks, without the head."""
    if isinstance(model, LeanLlama):
        return sorted({name.rsplit(".", 1)[-1] for name in model.linear_names()})
    head = model.get_output_embeddings()
    return sorted(
        {
            name.rsplit(".", 1)[-1]
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and module is not head
        }
    )
