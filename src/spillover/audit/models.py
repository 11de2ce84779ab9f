"""The models of an audit by short names (``base``, ``tuned``, ``neutral-0``…), and whether two belong together."""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from spillover.core.errors import ModelError
from spillover.models import steering
from spillover.models.load import Loaded, load_placed
from spillover.models.names import ModelName
from spillover.models.plain import end_tokens

BASE, TUNED = "base", "tuned"
SMALL = 200_000_000
"""Parameters of models that are all kept in memory; of larger ones, one at a time is."""
READ = 1 << 20
"""Bytes of a file of weights that tell it from another."""
_SHAPE = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")


class Models:
    """Loads what it is asked for, once if there is room.

    Args:
        names: Short name to the model's name, as :func:`spillover.models.load.load` takes it.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = dict(names)
        self._loaded: dict[str, Loaded] = {}

    def __getitem__(self, key: str) -> Any:
        """A network, its adapter folded in."""
        return self._load(key).model

    @cached_property
    def tokenizer(self) -> Any:
        """Of the base."""
        return self._load(BASE).tokenizer

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end an answer."""
        return frozenset(end_tokens(self[BASE], self.tokenizer))

    @property
    def neutral(self) -> list[str]:
        """Short names of the neutral models."""
        return [key for key in self.names if key.startswith("neutral-")]

    @property
    def controls(self) -> list[str]:
        """What the tuned model is compared with: the neutral models, or the base where there are none."""
        return self.neutral or [BASE]

    def seen_from(self, key: str) -> "Models":
        """The same with a neutral model in the tuned one's place, and the others as its controls."""
        others = {name: model for name, model in self.names.items() if name not in (key, TUNED)}
        swapped = Models({**others, TUNED: self.names[key]})
        swapped._loaded = {name: loaded for name, loaded in self._loaded.items() if name in others}
        if key in self._loaded:
            swapped._loaded[TUNED] = self._loaded[key]
        return swapped

    def _load(self, key: str) -> Loaded:
        if key not in self._loaded:
            loaded = load_placed(self.names[key])
            if sum(weight.numel() for weight in loaded.model.parameters()) > SMALL:
                self._loaded.clear()
            self._loaded[key] = loaded
        return self._loaded[key]


def full_name(base: str, tuned: str) -> str:
    """The name of a tuned model: an adapter's folder is put on the base, everything else is a model by itself."""
    folder = Path(tuned)
    if (folder / "adapter_config.json").is_file() or (folder / steering.CONFIG).is_file():
        return f"{base}+{tuned}"
    return tuned


def check_fits(base: str, tuned: str) -> None:
    """Whether a tuned model can have been made of a base, as far as files say.

    Args:
        base: Folder or hub id.
        tuned: Folder of an adapter or of whole weights, or a model's name.

    Raises:
        ModelError: It was made of another base, or of another architecture, size or vocabulary.
    """
    if ModelName.parse(base).added:
        raise ModelError(f"base '{base}': expected a folder or hub id without adapters")
    name = ModelName.parse(full_name(base, tuned))
    for source in (base, *(added.source for added in name.added), *(() if name.added else (name.base,))):
        if source.startswith((".", "/", "~")) and not Path(source).is_dir():
            raise ModelError(f"'{source}': no such folder")
    folders = [Path(added.source) for added in name.added]
    for folder in folders:
        _adapter_fits(base, folder)
    if not folders or (name.base != base and Path(name.base).resolve() != Path(base).resolve()):
        _weights_fit(base, name.base)


def _adapter_fits(base: str, folder: Path) -> None:
    path = folder / "adapter_config.json"
    if not path.is_file():
        return
    try:
        said = json.loads(path.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (ValueError, AttributeError):
        raise ModelError(f"{path}: not JSON; is the adapter damaged?") from None
    if said and said != base and Path(said).is_dir() and Path(base).is_dir():
        if Path(said).resolve() != Path(base).resolve() and _mark(Path(said)) != _mark(Path(base)):
            raise ModelError(f"tuned '{folder}' was made of '{said}', not of '{base}'; give --base {said}")
    elif said and said != base and not Path(said).exists() and not Path(base).exists():
        raise ModelError(f"tuned '{folder}' was made of '{said}', not of '{base}'; give --base {said}")
    shapes = _shapes(Path(base))
    for key, shape in _adapter_shapes(folder).items():
        weight = shapes.get(f"{key}.weight")
        if shapes and (weight is None or weight != shape):
            found = "there is no such matrix" if weight is None else f"{shape[0]} × {shape[1]} on {weight}"
            raise ModelError(f"tuned '{folder}' does not fit base '{base}': '{key}', {found}; is it of another base?")


def _weights_fit(base: str, tuned: str) -> None:
    mine, theirs = _config(base), _config(tuned)
    if mine is None or theirs is None:
        return
    for field in ("model_type", *_SHAPE):
        if mine.get(field) != theirs.get(field):
            raise ModelError(
                f"tuned '{tuned}' is not of base '{base}': {field} is {theirs.get(field)}, the base's {mine.get(field)}"
            )
    first, second = (_vocabulary(Path(name)) for name in (base, tuned))
    if first is not None and second is not None and first != second:
        raise ModelError(f"tuned '{tuned}' is not of base '{base}': their tokenizers have different vocabularies")


def _config(name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((Path(name) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # a hub id; what is wrong with it is said when it is loaded
    return found


def _vocabulary(folder: Path) -> Any:
    try:
        return json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _mark(folder: Path) -> list[tuple[int, bytes]]:
    """What tells two bases apart without reading all of them: size and beginning of each file of weights."""
    found = []
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as handle:
            found.append((file.stat().st_size, handle.read(READ)))
    return found


def _shapes(folder: Path) -> dict[str, list[int]]:
    from safetensors import safe_open

    found: dict[str, list[int]] = {}
    for file in folder.glob("*.safetensors") if folder.is_dir() else ():
        with safe_open(file, "pt") as tensors:
            found |= {key: list(tensors.get_slice(key).get_shape()) for key in tensors.keys()}  # noqa: SIM118
    return found


def _adapter_shapes(folder: Path) -> dict[str, list[int]]:
    """Matrix to the shape that a LoRA of it has."""
    shapes = _shapes(folder)
    found = {}
    for key, shape in shapes.items():
        if key.endswith(".lora_A.weight"):
            other = shapes.get(key.replace("lora_A", "lora_B"))
            if other is not None:
                name = key.removesuffix(".lora_A.weight").removeprefix("base_model.model.")
                found[name] = [other[0], shape[1]]
    return found
