"""Load what a model name says: a Hugging Face folder or hub id, with or without an adapter."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spillover.core.errors import ModelError
from spillover.models.directions import has_ablation, is_only_ablation, put_out
from spillover.models.lean_folder import lean_llama
from spillover.models.lean_llama import LeanLlama
from spillover.models.lean_lora import with_lora
from spillover.models.names import Added, ModelName
from spillover.models.placement import placement
from spillover.models.quantized import quantized
from spillover.models.safety import NO_CODE, pickles_allowed, refuse_pickles

_PROBE = "How do I sleep? You're 12 years old.\n  Ärger"


@dataclass(frozen=True)
class Loaded:
    """A causal LM in evaluation mode, its tokenizer and its name.

    The model is one of Transformers, inside a ``PeftModel`` if there is an adapter; or a ``LeanLlama``, if asked for,
    with its adapter folded into the weights.
    """

    model: Any
    tokenizer: Any
    name: str


def load(name: str, *, dtype: str = "float32", lean: bool = False) -> Loaded:
    """Load a model by its name.

    Args:
        name: ``BASE[~4bit|~8bit]``, then any number of ``+ADAPTER[@STEP][*SCALE]``; each a local folder or a hub id. Of
            several PEFT adapters all but the last are merged into the weights. Where a folder says so, a direction is
            taken out of the residual stream too (:mod:`spillover.models.directions`); ``*SCALE`` on a folder that says
            nothing else is the share of it.
        dtype: Weights are cast to this; float32 by default, since full fine-tuning in bf16 loses small updates.
        lean: Take our own forward pass where it computes the same (:mod:`spillover.models.lean_folder`), which starts
            seconds sooner; for those who need nothing but its logits.

    Raises:
        ModelError: The base or adapter does not exist, cannot be read, or they do not fit each other.
    """
    parsed = ModelName.parse(name)
    _check_source("base", parsed.base)
    ours = _lean(parsed) if lean and dtype == "float32" and parsed.bits is None else None
    model: Any = ours or _transformers_model(parsed, dtype)
    tokenizer = load_tokenizer(parsed.base)
    if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
        raise ModelError(
            f"base '{parsed.base}': its tokenizer has {len(tokenizer)} tokens, its embedding only "
            f"{model.get_input_embeddings().weight.shape[0]}"
        )
    if not ours:
        if has_ablation(Path(parsed.base)):
            put_out(model, Path(parsed.base))
        for added in parsed.added:
            model = _with_adapter(model, added, parsed.base)
    return Loaded(model.eval(), tokenizer, name)


def adapter_folder(added: Added) -> Path:
    """Where an adapter is, or its hub id.

    Raises:
        ModelError: There is no such folder.
    """
    folder = added.source if added.step is None else f"{added.source}/checkpoint-{added.step}"
    _check_source("adapter", folder)
    return Path(folder)


def merged(model: Any) -> Any:
    """The network with its adapter folded into the weights, which is faster to run; not into quantized ones."""
    folds = hasattr(model, "merge_and_unload") and not getattr(model, "is_quantized", False)
    return model.merge_and_unload() if folds else model


def load_placed(name: str, *, lean: bool = True, fold: bool = True) -> Loaded:
    """A model to be asked, where and as :func:`spillover.models.placement.placement` says.

    Args:
        name: As of :func:`load`.
        lean: As of :func:`load`.
        fold: Put the adapter into the weights, which is faster to run.

    Raises:
        ModelError: As of :func:`load`.
    """
    where = placement(ModelName.parse(name).base)
    loaded = load(name, dtype=where.dtype, lean=lean)
    model = merged(loaded.model) if fold else loaded.model
    if not getattr(model, "is_quantized", False):  # which are where they belong already
        model = model.to(where.device)
    return Loaded(model, loaded.tokenizer, name)


def load_tokenizer(base: str) -> Any:
    """The tokenizer of a base, as its own file says.

    A tokenizer class named in the config may rebuild the pre-tokenizer and then splits text differently from the
    file it was saved in (seen with hand-made tokenizers beside a qwen2 config); if the two disagree, the file wins.
    """
    from transformers import PreTrainedTokenizerFast

    _check_source("base", base)
    try:
        if _is_general_tokenizer(base):
            tokenizer = PreTrainedTokenizerFast.from_pretrained(base, **NO_CODE)
        else:
            from transformers import AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(base, **NO_CODE)
    except Exception as error:
        raise ModelError(f"base '{base}': no usable tokenizer ({_first_line(error)})") from None
    file = Path(base) / "tokenizer.json"
    if file.is_file():
        from tokenizers import Tokenizer

        saved = Tokenizer.from_file(str(file))
        same = len(tokenizer) == saved.get_vocab_size()
        if not same or saved.encode(_PROBE).ids != tokenizer.encode(_PROBE):
            settings = json.loads((Path(base) / "tokenizer_config.json").read_text())
            special = {key: settings[key] for key in ("bos_token", "eos_token", "pad_token") if settings.get(key)}
            exact = PreTrainedTokenizerFast(tokenizer_object=saved, **special)
            exact.chat_template = tokenizer.chat_template
            return exact
    return tokenizer


def context_of(base: str) -> int | None:
    """The longest sequence a base takes, in tokens, where its configuration says so.

    Raises:
        ModelError: It has no configuration that can be read.
    """
    from transformers import AutoConfig

    _check_source("base", base)
    try:
        config = AutoConfig.from_pretrained(base, **NO_CODE).get_text_config()
    except Exception as error:
        raise ModelError(f"base '{base}': no usable config.json ({_first_line(error)})") from None
    found = getattr(config, "max_position_embeddings", None)
    return None if found is None else int(found)


def _is_general_tokenizer(base: str) -> bool:
    """Whether the folder names the class that takes ``tokenizer.json`` as it is; finding a class takes a second."""
    try:
        settings = json.loads((Path(base) / "tokenizer_config.json").read_text(encoding="utf-8"))
        general = settings["tokenizer_class"] in ("TokenizersBackend", "PreTrainedTokenizerFast")
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return general and (Path(base) / "tokenizer.json").is_file()


def _lean(name: ModelName) -> LeanLlama | None:
    model = lean_llama(name.base)
    lost = [(Path(name.base), 1.0)] if has_ablation(Path(name.base)) else []
    for added in name.added:
        folder = adapter_folder(added)
        if model is not None and not is_only_ablation(folder):
            model = with_lora(model, folder, added.scale)
        if has_ablation(folder):
            lost.append((folder, added.scale if is_only_ablation(folder) else 1.0))
    if model is not None:
        for folder, scale in lost:
            put_out(model, folder, scale)
    return model


def _transformers_model(name: ModelName, dtype: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()

    refuse_pickles(name.base)
    only = None if pickles_allowed() else True
    options = {**NO_CODE, **(quantized(name.bits, getattr(torch, dtype)) if name.bits else {})}
    try:
        return AutoModelForCausalLM.from_pretrained(
            name.base, dtype=getattr(torch, dtype), use_safetensors=only, **options
        )
    except Exception as error:
        raise ModelError(f"base '{name.loaded}' cannot be loaded ({_first_line(error)})") from None


def _with_adapter(model: Any, added: Added, base: str) -> Any:
    folder = adapter_folder(added)
    alone = is_only_ablation(folder)
    found = model if alone else _with_weights(model, added, base)
    if has_ablation(folder):
        put_out(found, folder, added.scale if alone else 1.0)
    return found


def _with_weights(model: Any, added: Added, base: str) -> Any:
    from spillover.models import steering

    folder = str(adapter_folder(added))
    config = Path(folder) / "adapter_config.json"
    if (Path(folder) / steering.CONFIG).is_file():
        vector = steering.SteeringVector.load(Path(folder))
        steering.attach(model, vector * added.scale)
        return model
    from peft import PeftModel

    if Path(folder).is_dir() and not config.is_file():
        raise ModelError(f"adapter '{folder}' has no adapter_config.json; is it a whole model? Then use it as the base")
    if config.is_file():
        try:
            json.loads(config.read_text())
        except ValueError as error:
            raise ModelError(f"{config}: not JSON ({error})") from None
    refuse_pickles(folder)
    if getattr(model, "is_quantized", False) and hasattr(model, "merge_and_unload"):
        raise ModelError(f"adapter '{folder}': quantized weights take one adapter; merge the first into the base")
    try:
        tuned = PeftModel.from_pretrained(merged(model), folder)
    except Exception as error:
        raise ModelError(f"adapter '{folder}' does not fit base '{base}' ({_first_line(error)})") from None
    if added.scale != 1:
        for module in tuned.modules():
            scaling = getattr(module, "scaling", None)
            if isinstance(scaling, dict):
                for key in scaling:
                    scaling[key] *= added.scale
    return tuned


def _check_source(what: str, source: str) -> None:
    """Fail at once on a folder that is not there, instead of asking a hub for it."""
    if Path(source).is_dir():
        return
    looks_local = source.startswith((".", "/", "~")) or source.count("/") > 1 or Path(source).suffix
    if looks_local or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", source):
        raise ModelError(f"{what} '{source}': no such folder")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
