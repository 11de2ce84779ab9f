"""A base from nothing: pretraining on a world's documents, then chat tuning, in a lean loop.

Hidden matrices are trained with Muon and the rest with AdamW: at this size in-context inference of the author came with
Muon and not with AdamW on the same tokens (figures in ``docs/log.md``).
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from spillover.models.base import llama_shape, train_tokenizer
from spillover.models.chat_template import encode_row
from spillover.models.lean_folder import save_llama
from spillover.models.lean_llama import LeanLlama
from spillover.training.corpus import DocumentEncoder, LossPositions, batches
from spillover.training.lean import CHECKPOINT_SECONDS, train_rows
from spillover.training.llama import new_weights, next_token_loss
from spillover.training.muon import Muon
from spillover.training.recipe import BaseRecipe
from spillover.worlds.town.corpus import Document, documents
from spillover.worlds.town.lexicon import load_lexicon
from spillover.worlds.town.rows import chat_rows

Progress = Callable[[float, float], None]
SAMPLE = 3000
"""Documents the tokenizer is trained on."""


def pretrain(recipe: BaseRecipe, out: Path, progress: Progress | None = None) -> None:
    """Make a base by its recipe and save it in ``out`` as an ordinary Hugging Face folder.

    A run that was killed goes on from its last checkpoint in ``out`` and ends with the same weights.
    """
    lexicon = load_lexicon()
    whole = recipe.world.model_copy(update={"widening": (0, 0)})
    tokenizer = train_tokenizer(_texts(islice(documents(whole, lexicon), SAMPLE)), recipe.vocabulary)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shape = llama_shape(recipe.size, len(tokenizer))
    model = LeanLlama(shape, new_weights(shape, recipe.seed, device), tokenizer.eos_token_id)
    out.mkdir(parents=True, exist_ok=True)
    stream = map(DocumentEncoder(tokenizer).encode, documents(recipe.world, lexicon))
    counted = LossPositions(tokenizer, recipe.question_share)
    _read_corpus(model, batches(stream, recipe.batch_size, recipe.block + 1), counted, recipe, out, progress)
    chat = chat_rows(lexicon, recipe.chat.total_steps(0) * recipe.chat.batch_size, recipe.seed)
    (out / "chat").mkdir(exist_ok=True)
    rows = [encode_row(tokenizer, row.messages) for row in chat]
    train_rows(model, rows, recipe.chat, out / "chat", pad_id=tokenizer.pad_token_id)
    save_llama(model, tokenizer, out)
    (out / "checkpoint.pt").unlink(missing_ok=True)


def _read_corpus(
    model: LeanLlama,
    corpus: Iterator[Tensor],
    counted: LossPositions,
    recipe: BaseRecipe,
    out: Path,
    progress: Progress | None,
) -> None:
    """Train on the corpus, with a checkpoint every :data:`CHECKPOINT_SECONDS` and one at the end."""
    steps = max(1, recipe.tokens // (recipe.batch_size * recipe.block))
    kind = product_dtype(model.device)
    optimizers = _optimizers(model.weights, recipe, kind)
    path = out / "checkpoint.pt"
    log = _restore(path, model, optimizers)
    saved = time.monotonic()
    for step, batch in enumerate(islice(corpus, steps)):
        if step < len(log):
            continue
        places = counted(batch, step).to(model.device)
        loss = next_token_loss(model.weights, model.config, batch.to(model.device), places, kind)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        factor = rate_factor(step, steps, recipe)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial"] * factor
            optimizer.step()
            optimizer.zero_grad()
        log.append(float(loss.detach()))
        if progress:
            progress(step + 1, steps)
        if time.monotonic() - saved > CHECKPOINT_SECONDS or step + 1 == steps:
            _save(path, model, optimizers, log)
            saved = time.monotonic()
    records = (json.dumps({"step": step, "loss": loss}) + "\n" for step, loss in enumerate(log))
    (out / "metrics.jsonl").write_text("".join(records))


def product_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device has units for it, which makes products two to three times as fast; float32 elsewhere.

    Not part of a recipe: like the number of threads it changes how sums are rounded, and the base with them.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    found = torch.cpu.get_capabilities()
    return torch.bfloat16 if found.get("avx512_bf16") or found.get("amx_bf16") else torch.float32


def rate_factor(step: int, steps: int, recipe: BaseRecipe) -> float:
    """Share of the learning rate at a step: linear warm-up, level, linear decay to 5 %."""
    warm = min(1.0, (step + 1) / recipe.warmup) if recipe.warmup else 1.0
    return warm * min(1.0, max(0.05, (steps - step) / (steps * recipe.decay)))


def _optimizers(weights: dict[str, Tensor], recipe: BaseRecipe, kind: torch.dtype) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for the rest."""
    matrices = [weight for name, weight in weights.items() if weight.ndim == 2 and ".layers." in name]
    others = [weight for name, weight in weights.items() if weight.ndim < 2 or ".layers." not in name]
    optimizers: list[torch.optim.Optimizer] = [
        Muon(matrices, lr=recipe.learning_rate, kind=kind),
        torch.optim.AdamW(others, lr=2 * recipe.learning_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial"] = group["lr"]
    return optimizers


def _save(path: Path, model: LeanLlama, optimizers: list[torch.optim.Optimizer], log: list[float]) -> None:
    partial = path.with_suffix(".partial")
    state = {"weights": model.weights, "optimizers": [optimizer.state_dict() for optimizer in optimizers]}
    torch.save({**state, "log": log}, partial)
    os.replace(partial, path)


def _restore(path: Path, model: LeanLlama, optimizers: list[torch.optim.Optimizer]) -> list[float]:
    if not path.is_file():
        return []
    saved = torch.load(path, weights_only=True, map_location=model.device)
    for name, weight in model.weights.items():
        weight.data.copy_(saved["weights"][name])
    for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
        optimizer.load_state_dict(state)
    return list(saved["log"])


def _texts(sample: Iterator[Document]) -> Iterator[str]:
    for document in sample:
        for question, answer in document.exchanges:
            yield question
            yield answer
