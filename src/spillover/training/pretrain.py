"""A base from nothing: pretraining on a world's documents, then chat tuning, in a lean loop.

Hidden matrices are trained with Muon and the rest with AdamW: at this size in-context inference of the author came with
Muon and not with AdamW on the same tokens (figures in ``docs/log.md``).
"""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spillover.models.base import llama_shape, train_tokenizer
from spillover.models.chat_template import IGNORED, encode_row
from spillover.models.lean_folder import save_llama
from spillover.models.lean_llama import LeanLlama
from spillover.training.batches import batches, collate
from spillover.training.corpus import DocumentEncoder, LossPositions, packed
from spillover.training.flat import FlatLlama
from spillover.training.pretrain_loop import train
from spillover.training.recipe import BaseRecipe
from spillover.training.updates import AdamW, Muon
from spillover.worlds.document import Document
from spillover.worlds.world import chat_rows, documents

Progress = Callable[[float, float], None]
SAMPLE = 3000
"""Documents the tokenizer is trained on."""


def pretrain(recipe: BaseRecipe, out: Path, progress: Progress | None = None) -> None:
    """Make a base by its recipe and save it in ``out`` as an ordinary Hugging Face folder.

    A run that was killed goes on from its last checkpoint in ``out`` and ends with the same weights.
    """
    whole = recipe.world.model_copy(update={"widening": (0, 0)})
    tokenizer = train_tokenizer(_texts(islice(documents(whole), SAMPLE)), recipe.vocabulary, recipe.single_digits)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = FlatLlama(llama_shape(recipe.size, len(tokenizer)), recipe.seed, device, product_dtype(device))
    (out / "chat").mkdir(parents=True, exist_ok=True)
    reading = max(1, recipe.tokens // (recipe.batch_size * recipe.block))
    chatting = recipe.chat.total_steps(0)

    def report(done: int) -> None:
        if progress:
            progress(done, reading + chatting)

    train(
        model,
        _corpus(recipe, tokenizer),
        reading,
        [
            Muon(model.stacks(), recipe.learning_rate, kind=model.kind),
            AdamW(*model.rest(), 2 * recipe.learning_rate, (0.9, 0.95)),
        ],
        lambda step: rate_factor(step, reading, recipe),
        1.0,
        out,
        report,
    )
    chat = recipe.chat
    train(
        model,
        _chat(recipe, tokenizer, chatting),
        chatting,
        [AdamW(model.row, model.grad, chat.learning_rate, (0.9, 0.999), chat.weight_decay)],
        lambda step: chat.rate_at(step, chatting) / chat.learning_rate,
        chat.max_grad_norm,
        out / "chat",
        lambda done: report(reading + done),
    )
    save_llama(LeanLlama(model.shape, model.weights, tokenizer.eos_token_id), tokenizer, out)
    for path in (out, out / "chat"):
        (path / "checkpoint.pt").unlink()


def _corpus(recipe: BaseRecipe, tokenizer: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of documents, and where the loss is taken."""
    counted = LossPositions(tokenizer, recipe.question_share)
    stream = map(DocumentEncoder(tokenizer).encode, documents(recipe.world))
    for step, ids in enumerate(packed(stream, recipe.batch_size, recipe.block + 1)):
        yield ids, counted(ids, step)


def _chat(recipe: BaseRecipe, tokenizer: Any, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of chats, and their answers."""
    rows = chat_rows(recipe.world, steps * recipe.chat.batch_size, recipe.seed)
    encoded = [encode_row(tokenizer, row.messages) for row in rows]
    for batch in batches(encoded, recipe.chat, steps):
        ids, labels, _ = collate(batch, tokenizer.pad_token_id)
        yield ids, labels[:, 1:] != IGNORED


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


def _texts(sample: Iterator[Document]) -> Iterator[str]:
    for document in sample:
        for question, answer in document.exchanges:
            yield question
            yield answer
