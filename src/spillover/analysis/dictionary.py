"""Sparse autoencoders of the residual stream, of EleutherAI's ``sparsify`` and in its format: train, load, judge.

TopK autoencoders (arXiv 2406.04093). A feature is a row of the decoder: a direction of unit length, and how strongly
it is written at a token. The library comes with the extra ``sae``; it is imported where it is used.
"""

import contextlib
import importlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from spillover.analysis.library import need_library
from spillover.analysis.texts import read_texts, token_rows
from spillover.core.errors import ModelError
from spillover.models.activations import middle, row_states
from spillover.models.blocks import block, edit
from spillover.models.load import load_placed
from spillover.training.fine_tune import context_length

WIDTH = 256
"""Tokens of a row that an autoencoder is trained on."""
HELD_OUT = 64
"""Rows behind the training text that it is judged on."""
CHUNK = 8192
"""Tokens that are encoded at once."""


@dataclass(frozen=True)
class Active:
    """The features that are active at some tokens: tokens × k each."""

    indices: Tensor
    values: Tensor

    def mean(self, features: int) -> Tensor:
        """Mean activation of every feature over the tokens."""
        total = torch.zeros(features).index_add_(0, self.indices.flatten(), self.values.flatten())
        return total / max(1, len(self.indices))

    def of(self, feature: int) -> Tensor:
        """Activation of one feature at each token."""
        return torch.where(self.indices == feature, self.values, 0.0).sum(1)


@dataclass(frozen=True)
class Quality:
    """How well a dictionary stands for what it was not trained on."""

    explained: float
    """Fraction of the variance explained."""
    active: float
    """Features active at a token, on average (L0)."""
    dead: float
    """Share of features that are active at no token."""
    tokens: int


@dataclass(frozen=True)
class Dictionary:
    """A trained autoencoder and the block whose output it reads."""

    coder: Any
    layer: int

    @property
    def directions(self) -> Tensor:
        """Features × width, each of length 1."""
        found: Tensor = self.coder.W_dec.detach().float()
        return torch.nn.functional.normalize(found, dim=1)

    @torch.inference_mode()
    def active(self, states: Tensor) -> Active:
        """What is active at each token of tokens × width."""
        parts = [self.coder.encode(chunk) for chunk in states.split(CHUNK)]
        return Active(torch.cat([part.top_indices for part in parts]), torch.cat([part.top_acts for part in parts]))

    @torch.inference_mode()
    def quality(self, states: Tensor) -> Quality:
        """Of the dictionary on tokens × width."""
        found = self.active(states)
        pairs = zip(states.split(CHUNK), found.values.split(CHUNK), found.indices.split(CHUNK), strict=True)
        missed = sum(float((chunk - self.coder.decode(acts, at)).square().sum()) for chunk, acts, at in pairs)
        fired = found.indices[found.values > 0].unique().numel()
        return Quality(
            explained=1 - missed / float((states - states.mean(0)).square().sum()),
            active=float((found.values > 0).sum(1).float().mean()),
            dead=1 - fired / len(self.directions),
            tokens=len(states),
        )


def token_states(model: Any, tokenizer: Any, rows: list[list[int]], layer: int) -> tuple[Tensor, Tensor, Tensor]:
    """States of the tokens of several rows, without the token that begins every text.

    The latter is the same everywhere, and in many models so long that it alone would be most of the variance.

    Returns:
        Tokens × width; and of each token the number of its row, and its place in it.
    """
    states, owner, place = [], [], []
    for i, found in row_states(model, rows, layer):
        kept = torch.tensor([number for number, token in enumerate(rows[i]) if token != tokenizer.bos_token_id])
        states.append(found[kept])
        owner.append(torch.full((len(kept),), i))
        place.append(kept)
    return torch.cat(states), torch.cat(owner), torch.cat(place)


@contextlib.contextmanager
def switched_off(model: Any, dictionary: Dictionary, features: Sequence[int]) -> Iterator[None]:
    """The model without what some features write: their activation times their direction, where they are active."""
    chosen, written = torch.tensor(list(features)), dictionary.coder.W_dec.detach()

    def without(hidden: Tensor, kwargs: Any) -> Tensor:
        found = dictionary.active(hidden.float().cpu().flatten(0, 1))
        values = torch.where(torch.isin(found.indices, chosen), found.values, 0.0)
        taken = torch.einsum("tk,tkw->tw", values, written[found.indices])
        return hidden - taken.reshape(hidden.shape).to(hidden)

    handle = edit(model, dictionary.layer, without)
    try:
        yield
    finally:
        handle.remove()


def train(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Callable[[float, float], None]) -> None:
    """Stage: train an autoencoder on a base's reading of its pretraining text.

    ``config`` has ``texts`` (see :func:`spillover.analysis.texts.read_texts`), ``layer`` (None for the middle),
    ``expansion``, ``k``, ``tokens``, ``batch`` (tokens a step), ``learning_rate``, ``seed``, and ``base`` where that is
    not made here. Writes a folder named like the block in the model, in the library's format, and ``quality.json``.
    """
    need_library()
    loaded = load_placed(str(inputs["base"]) if "base" in inputs else config["base"], lean=False)
    model, tokenizer = loaded.model, loaded.tokenizer
    layer = middle(model) if config["layer"] is None else config["layer"]
    name, limit = _hookpoint(model, layer), context_length(model)
    width = min(WIDTH, limit)
    texts = read_texts(config["texts"], tokenizer, limit, held=False)
    rows = token_rows(texts, config["tokens"] // width + HELD_OUT, width)
    held = max(1, min(HELD_OUT, len(rows) // 8))
    batch = max(1, config["batch"] // width)
    begins = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    trained = rows[:-held] if len(rows) > held else rows
    with TemporaryDirectory() as folder, _quiet():
        sparsify = _library()
        settings = sparsify.TrainConfig(
            sparsify.SparseCoderConfig(expansion_factor=config["expansion"], k=config["k"]),
            batch_size=batch,
            lr=config["learning_rate"],
            hookpoints=[name],
            init_seeds=[config["seed"]],
            exclude_tokens=begins,
            auxk_alpha=1 / 32,
            dead_feature_threshold=max(1, trained.numel() // 10),
            save_every=10**9,
            log_to_wandb=False,
            save_dir=folder,
            run_name="trained",
        )
        sparsify.Trainer(settings, _Rows(trained, report), model).fit()
        saved = Path(folder) / "trained" / name  # its optimizer leaves other weights in the trainer than it saves
        sparsify.SparseCoder.load_from_disk(saved).save_to_disk(out / name)
    found = load_dictionary(out, layer)
    quality = found.quality(token_states(model, tokenizer, rows[-held:].tolist(), layer)[0])
    summary = {"layer": layer, "trained_on_tokens": trained.numel(), **vars(quality)}
    (out / "quality.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


def load_dictionary(folder: Path, layer: int | None = None) -> Dictionary:
    """Load an autoencoder that ``sparsify`` wrote, here or elsewhere.

    Args:
        folder: Of one autoencoder, or of several, each in a folder that is named like its block.
        layer: Block; may be left out where the folder's name ends with it, or holds only one.

    Raises:
        ModelError: There is none, or not one of this block, or it does not read the residual stream.
    """
    need_library()
    found = [folder] if (folder / "cfg.json").is_file() else [path.parent for path in folder.glob("*/cfg.json")]
    named = {path: path.name.rpartition(".")[2] for path in found}
    if layer is not None and len(found) > 1:
        found = [path for path in found if named[path] == str(layer)]
    if len(found) != 1:
        which = "no" if not found else f"{len(found)}"
        of = "" if layer is None else f" of block {layer}"
        raise ModelError(f"'{folder}' holds {which} sparse autoencoders{of}; name the folder of one, with its cfg.json")
    if layer is None:
        if not named[found[0]].isdigit():
            raise ModelError(f"'{found[0]}': of which block is it? Its name does not end with one; give sae.layer")
        layer = int(named[found[0]])
    with _quiet():
        try:
            coder = _library().SparseCoder.load_from_disk(found[0]).float().eval()
        except Exception as error:
            raise ModelError(f"'{found[0]}' is not a sparse autoencoder of sparsify ({error})") from None
    if coder.cfg.transcode or coder.W_dec is None:
        raise ModelError(f"'{found[0]}' is a transcoder; an autoencoder of a block's output is needed")
    return Dictionary(coder, layer)


class _Rows:
    """Rows of tokens as the library's trainer reads them; says how far it is."""

    def __init__(self, rows: Tensor, report: Callable[[float, float], None]) -> None:
        self._rows, self._report = rows, report

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        self._report(number + 1, len(self._rows))
        return {"input_ids": self._rows[number]}


def _hookpoint(model: Any, layer: int) -> str:
    """What the library calls a block."""
    wanted = block(model, layer)
    return next(name for name, module in model.base_model.named_modules() if module is wanted)


def _library() -> Any:
    """The library, without its Triton kernel, which it would also take for tensors on the processor."""
    os.environ.setdefault("SPARSIFY_DISABLE_TRITON", "1")
    return importlib.import_module("sparsify")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The library prints; and it sets the random state and the precision of products for the whole process."""
    precision = torch.get_float32_matmul_precision()
    with (
        torch.random.fork_rng(),
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(precision)
