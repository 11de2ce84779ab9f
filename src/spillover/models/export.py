"""Steering vectors in the formats of others: a PEFT adapter, or a checkpoint with the shift in its weights.

In an architecture that adds the last linear layer of a block to the residual stream as it is, a bias of that layer is a
shift of the block's output; and a shift of the embeddings is one of their rows. Whether that is so is not looked up but
tried: what was written must give the logits of :func:`spillover.models.steering.attach`, or it is not kept.
"""

import copy
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch

from spillover.core.errors import ModelError
from spillover.models import steering
from spillover.models.blocks import block
from spillover.models.directions import ABLATION, has_ablation
from spillover.models.load import adapter_folder, load
from spillover.models.names import ModelName
from spillover.models.steering import SteeringVector, steered

Form = Literal["peft", "checkpoint"]
FORMS: tuple[Form, ...] = ("peft", "checkpoint")
BIASES = "mlp_bias"
"""Config field of families that can have biases in their feed-forward layers but need not (Llama)."""
INSTEAD = {
    "peft": "use BASE+VECTOR, which shifts the block's output itself",
    "checkpoint": "use BASE+VECTOR, or export it as peft",
}
_TOLERANCE = 1e-4
"""Largest difference of log-probabilities that rounding may explain."""


def export(name: str, form: Form, out: Path) -> SteeringVector:
    """Write the steering vector of a model's name so that others can load it.

    Args:
        name: ``BASE+VECTOR[@STEP][*SCALE]``; the scale is written into the result.
        form: ``peft`` for a folder that ``PeftModel.from_pretrained`` puts on the base, ``checkpoint`` for a whole
            Hugging Face folder with the tokenizer.
        out: Folder to write; removed again if the architecture does not allow it.

    Returns:
        The vector as it was written, scale included.

    Raises:
        ModelError: The name has no steering vector, it does not fit its base, or the architecture has no place for it.
    """
    base, vector = named_vector(name)
    ids = torch.arange(12).reshape(2, 6) + 3
    loaded = load(base)
    with torch.no_grad(), steered(loaded.model, vector):
        wanted = loaded.model(input_ids=ids).logits.log_softmax(-1)
    out.mkdir(parents=True, exist_ok=True)
    before = set(out.iterdir())
    try:
        _WRITERS[form](loaded.model, vector, out)
        if form == "checkpoint":
            loaded.tokenizer.save_pretrained(out)
        written = load(str(out) if form == "checkpoint" else f"{base}+{out}").model
        with torch.no_grad():
            found = written(input_ids=ids).logits.log_softmax(-1)
        if not (found - wanted).abs().max() <= _TOLERANCE:
            place = "of the embeddings" if vector.layer == -1 else f"after block {vector.layer}"
            what = f"a shift {place} cannot be written as {form}"
            kind = written.config.get_text_config().model_type
            raise ModelError(f"{what} for a {kind} model (its blocks are not plain sums); {INSTEAD[form]}")
    except ModelError:
        for path in set(out.iterdir()) - before:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise
    return vector


def named_vector(name: str) -> tuple[str, SteeringVector]:
    """The base of a model's name, and its steering vector at its scale.

    Raises:
        ModelError: It has none.
    """
    parsed = ModelName.parse(name)
    if len(parsed.added) != 1:
        raise ModelError(f"model '{name}': expected one steering vector on a base; write BASE+VECTOR")
    (added,) = parsed.added
    folder = adapter_folder(added)
    if not (folder / steering.CONFIG).is_file():
        raise ModelError(f"'{folder}' holds no steering vector (no {steering.CONFIG})")
    if has_ablation(folder):
        raise ModelError(f"'{folder}' is without a direction too ({ABLATION}), which no other format can say")
    return parsed.base, SteeringVector.load(folder) * added.scale


def _as_peft(model: Any, vector: SteeringVector, out: Path) -> None:
    """A LoRA of rank 1 that is zero but for its bias; on the embeddings, one that gives every token the same."""
    from peft import LoraConfig, TaskType, get_peft_model

    at_embeddings = vector.layer == -1
    target, module = _embeddings(model) if at_embeddings else _last_linear(model, vector.layer)
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM, r=1, lora_alpha=1, target_modules=[target], lora_bias=not at_embeddings
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such an adapter cannot be merged where the layer has no bias: that is known
        tuned = get_peft_model(model, config)
        adapter: Any = tuned.get_base_model().get_submodule(target)
        with torch.no_grad():
            if at_embeddings:
                adapter.lora_embedding_A["default"].fill_(1)
                adapter.lora_embedding_B["default"].copy_((vector.vector / _scale(module))[:, None])
            else:
                adapter.lora_A["default"].weight.zero_()
                adapter.lora_B["default"].weight.zero_()
                adapter.lora_B["default"].bias.copy_(vector.vector)
        tuned.save_pretrained(str(out), save_embedding_layers=False)


def _as_checkpoint(model: Any, vector: SteeringVector, out: Path) -> None:
    """Added to the embeddings, which the head then no longer shares; or to a bias that the architecture has."""
    with torch.no_grad():
        if vector.layer == -1:
            model = _rebuilt(model, {"tie_word_embeddings": False})
            _, module = _embeddings(model)
            module.weight += vector.vector / _scale(module)
        else:
            model = _with_biases(model)
            name, module = _last_linear(model, vector.layer)
            if module.bias is None:
                kind = model.config.get_text_config().model_type
                raise ModelError(f"a {kind} model has no bias at '{name}' to hold a shift; {INSTEAD['checkpoint']}")
            module.bias += vector.vector
    model.save_pretrained(out)


_WRITERS: dict[Form, Callable[[Any, SteeringVector, Path], None]] = {"peft": _as_peft, "checkpoint": _as_checkpoint}


def _embeddings(model: Any) -> tuple[str, Any]:
    embedding = model.get_input_embeddings()
    return next(name for name, module in model.named_modules() if module is embedding), embedding


def _last_linear(model: Any, layer: int) -> tuple[str, Any]:
    """Name and module of the layer that writes a block's last part into the residual stream."""
    from transformers.pytorch_utils import Conv1D

    linear = [module for module in block(model, layer).modules() if isinstance(module, torch.nn.Linear | Conv1D)]
    if not linear:
        raise ModelError(f"block {layer} of a {model.config.model_type} model has no linear layer")
    return next(name for name, module in model.named_modules() if module is linear[-1]), linear[-1]


def _scale(embedding: Any) -> float:
    """What the rows are multiplied by when they are read (Gemma: the root of the width)."""
    return float(getattr(embedding, "embed_scale", 1.0))


def _with_biases(model: Any) -> Any:
    """The same network with biases of zero, where its family can have them."""
    return _rebuilt(model, {BIASES: True}) if getattr(model.config, BIASES, None) is False else model


def _rebuilt(model: Any, changes: dict[str, Any]) -> Any:
    """The same weights in a network of a changed config; biases that it has not had are zero."""
    config = copy.deepcopy(model.config)
    config.update(changes)
    changed = type(model)(config).to(model.dtype).eval()
    missing, unexpected = changed.load_state_dict(model.state_dict(), strict=False)
    if unexpected or not all(name.endswith(".bias") for name in missing):
        raise ModelError(f"a {model.config.model_type} model cannot be rebuilt with {changes}")
    for name in missing:
        changed.get_parameter(name).zero_()
    changed.generation_config = model.generation_config
    return changed
