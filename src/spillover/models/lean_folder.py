"""Which model folders :class:`LeanLlama` computes exactly as Transformers does; how to load and save them."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spillover.models.lean_llama import LeanLlama
from spillover.models.llama_shape import LlamaShape
from spillover.models.plain import forest_is_exact

LARGEST = 50_000_000
"""Parameters; what a larger model computes takes longer than the imports that this saves."""

_FIXED = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
}
_WITHOUT_EFFECT = {
    "attention_dropout",
    "bos_token_id",
    "dtype",
    "eos_token_id",
    "initializer_range",
    "pad_token_id",
    "pretraining_tp",
    "transformers_version",
    "use_cache",
}


def lean_llama(base: str) -> LeanLlama | None:
    """The network of a folder, in float32.

    None where the folder is not exactly a plain small Llama as Transformers 5 saves it, also where it is damaged:
    Transformers then says what is wrong with it.
    """
    try:
        model = _load(Path(base))
        return model if model is not None and forest_is_exact(model) else None
    except Exception:
        return None


def save_llama(model: LeanLlama, tokenizer: Any, folder: Path) -> None:
    """Write what Transformers would: configuration, weights and tokenizer, so that anything loads it.

    The tokenizer says which tokens begin, end and pad a text.
    """
    from safetensors.torch import save_file

    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    settings = plain_config(model.config) | ends | {"pad_token_id": tokenizer.pad_token_id, "dtype": "float32"}
    weights = {name: weight.detach().cpu().contiguous() for name, weight in model.weights.items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    (folder / "generation_config.json").write_text(json.dumps(ends, indent=2) + "\n", encoding="utf-8")
    tokenizer.save_pretrained(folder)


def plain_config(shape: LlamaShape) -> dict[str, Any]:
    """The fields of ``config.json`` that a shape decides."""
    fields = asdict(shape)
    rope = {"rope_type": "default", "rope_theta": fields.pop("rope_theta")}
    return {**_FIXED, **fields, "rope_parameters": rope}


def _load(folder: Path) -> LeanLlama | None:
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    rope = config.pop("rope_parameters")
    plain = {key: config.pop(key) for key in _FIXED} == _FIXED and rope.pop("rope_type") == "default"
    if not plain or (folder / "adapter_config.json").is_file():
        return None
    file = folder / "generation_config.json"
    ends = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else config
    # A field that is unknown or missing is a TypeError.
    shape = LlamaShape(**rope, **{key: value for key, value in config.items() if key not in _WITHOUT_EFFECT})
    weights = {name: weight.float() for name, weight in load_file(folder / "model.safetensors").items()}
    model = LeanLlama(shape, weights, ends.get("eos_token_id"), str(folder))
    return model if model.num_parameters() <= LARGEST else None
