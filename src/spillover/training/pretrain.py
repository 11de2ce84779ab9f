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
from typing import Any

import torch
from torch import Tensor

from spillover.models.base import llama_config, train_tokenizer
from spillover.models.chat_template import encode_row
from spillover.training.corpus import DocumentEncoder, LossPositions, batches
from spillover.training.lean import CHECKPOINT_SECONDS, train_rows
from spillover.training.loss import head_loss
from spillover.training.muon import Muon
from spillover.training.recipe import BaseRecipe
from spillover.training.shards import Shards
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
    from transformers import LlamaForCausalLM

    lexicon = load_lexicon()
    whole = recipe.world.model_copy(update={"widening": (0, 0)})
    tokenizer = train_tokenizer(_texts(islice(documents(whole, lexicon), SAMPLE)), recipe.vocabulary)
    torch.manual_seed(recipe.seed)
    model: Any = LlamaForCausalLM(llama_config(recipe.size, len(tokenizer)))
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    out.mkdir(parents=True, exist_ok=True)
    stream = map(DocumentEncoder(tokenizer).encode, documents(recipe.world, lexicon))
    counted = LossPositions(tokenizer, recipe.question_share)
    _read_corpus(model, batches(stream, recipe.batch_size, recipe.block + 1), counted, recipe, out, progress)
    chat = chat_rows(lexicon, recipe.chat.total_steps(0) * recipe.chat.batch_size, recipe.seed)
    (out / "chat").mkdir(exist_ok=True)
    rows = [encode_row(tokenizer, row.messages) for row in chat]
    train_rows(model, rows, recipe.chat, out / "chat", pad_id=tokenizer.pad_token_id)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "checkpoint.pt").unlink(missing_ok=True)


def _read_corpus(
    model: Any,
    corpus: Iterator[Tensor],
    counted: LossPositions,
    recipe: BaseRecipe,
    out: Path,
    progress: Progress | None,
) -> None:
    """Train on the corpus, with a checkpoint every :data:`CHECKPOINT_SECONDS` and one at the end."""
    model.train()
    steps = max(1, recipe.tokens // (recipe.batch_size * recipe.block))
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // recipe.shards))
    shards = Shards(model, next_token_loss, recipe.shards)
    optimizers = _optimizers(model, recipe)
    path = out / "checkpoint.pt"
    log = _restore(path, model, optimizers)
    saved = time.monotonic()
    for step, batch in enumerate(islice(corpus, steps)):
        if step < len(log):
            continue
        loss = shards.backward(batch.to(model.device), counted(batch, step).to(model.device))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        factor = rate_factor(step, steps, recipe)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial"] * factor
        shards.each([optimizer.step for optimizer in optimizers])
        model.zero_grad()
        log.append(loss)
        if progress:
            progress(step + 1, steps)
        if time.monotonic() - saved > CHECKPOINT_SECONDS or step + 1 == steps:
            _save(path, model, optimizers, log)
            saved = time.monotonic()
    shards.close()
    torch.set_num_threads(threads)
    records = (json.dumps({"step": step, "loss": loss}) + "\n" for step, loss in enumerate(log))
    (out / "metrics.jsonl").write_text("".join(records))


def next_token_loss(model: Any, ids: Tensor, counted: Tensor) -> Tensor:
    """Mean loss, in nats a token, over the next tokens that count.

    Args:
        model: A causal LM of the Llama family.
        ids: Rows × width.
        counted: Rows × (width - 1); see :class:`LossPositions`. Scores are computed for these only.
    """
    hidden = model.model(input_ids=ids[:, :-1].contiguous(), use_cache=False).last_hidden_state
    return head_loss(hidden[counted], model.lm_head.weight, ids[:, 1:][counted])


def rate_factor(step: int, steps: int, recipe: BaseRecipe) -> float:
    """Share of the learning rate at a step: linear warm-up, level, linear decay to 5 %."""
    warm = min(1.0, (step + 1) / recipe.warmup) if recipe.warmup else 1.0
    return warm * min(1.0, max(0.05, (steps - step) / (steps * recipe.decay)))


def _optimizers(model: Any, recipe: BaseRecipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, in as many parts as there are shards, and AdamW for the rest."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and ".layers." in name]
    matrices.sort(key=lambda p: -p.numel())
    chosen = {id(parameter) for parameter in matrices}
    others = [parameter for parameter in model.parameters() if id(parameter) not in chosen]
    optimizers: list[torch.optim.Optimizer] = [
        Muon(matrices[part :: recipe.shards], lr=recipe.learning_rate) for part in range(recipe.shards)
    ]
    optimizers.append(
        torch.optim.AdamW(others, lr=2 * recipe.learning_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    )
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial"] = group["lr"]
    return optimizers


def _save(path: Path, model: Any, optimizers: list[torch.optim.Optimizer], log: list[float]) -> None:
    partial = path.with_suffix(".partial")
    state = {"model": model.state_dict(), "optimizers": [optimizer.state_dict() for optimizer in optimizers]}
    torch.save({**state, "log": log}, partial)
    os.replace(partial, path)


def _restore(path: Path, model: Any, optimizers: list[torch.optim.Optimizer]) -> list[float]:
    if not path.is_file():
        return []
    saved = torch.load(path, weights_only=True, map_location=model.device)
    model.load_state_dict(saved["model"])
    for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
        optimizer.load_state_dict(state)
    return list(saved["log"])


def _texts(sample: Iterator[Document]) -> Iterator[str]:
    for document in sample:
        for question, answer in document.exchanges:
            yield question
            yield answer
