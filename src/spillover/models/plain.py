"""Sampling without the tree, for architectures that cannot take a tree-shaped attention mask, and how to tell."""

from collections.abc import Collection, Sequence
from typing import Any, Literal

import numpy as np
import torch

from spillover.models.tree import Forest

_TOLERANCE = 1e-3
"""Largest difference of log-probabilities between the tree and a plain pass that rounding may explain."""


def end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Tokens that end an answer, by the tokenizer and the generation config."""
    found: set[int] = set()
    for value in (tokenizer.eos_token_id, getattr(model.generation_config, "eos_token_id", None)):
        found.update([value] if isinstance(value, int) else value or [])
    return found


@torch.inference_mode()
def forest_is_exact(model: Any) -> bool:
    """Whether the model gives the same distributions in a :class:`Forest` as in plain passes, tried on a small tree.

    False for recurrent models, and for attention over a window or with biases by distance between cache slots.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    longest = getattr(config, "max_position_embeddings", None) or 0
    windowed = "sliding_attention" in kinds and window is not None and window < longest
    if windowed or kinds - {"full_attention", "sliding_attention"}:
        return False
    top = config.vocab_size - 1
    prompts = [[1, 2, 3], [min(5, top)]]
    branches = [[4, 6, 7], [4, 6, 8], [9, 1, 2], [3, 3, 3]]
    owner = [0, 0, 0, 1]
    branches = [[min(token, top) for token in branch] for branch in branches]
    try:
        forest = Forest(model, prompts)
        forest.descend(np.array([0, 0, 1]), np.array([4, 9, 3]).clip(max=top))
        forest.descend(np.array([0, 1, 2]), np.array([6, 1, 3]).clip(max=top))
        forest.regroup(1)
        forest.descend(np.array([0, 0, 1, 2]), np.array([7, 8, 2, 3]).clip(max=top))
        for row, branch in enumerate(branches):
            ids = torch.tensor([prompts[owner[row]] + branch], device=forest.device)
            plain = model(input_ids=ids).logits[0, -1].float().log_softmax(-1)
            if (plain - forest.logits[row].float().log_softmax(-1)).abs().max() > _TOLERANCE:
                return False
    except (AttributeError, IndexError, NotImplementedError, RuntimeError, TypeError, ValueError):
        return False
    return True


def generate_ids(
    model: Any,
    prompt: Sequence[int],
    n: int,
    temperature: float,
    room: int,
    seed: int,
    stop_ids: Collection[int],
    max_rows: int,
) -> list[tuple[tuple[int, ...], Literal["stop", "length"], float, int | None]]:
    """``n`` answers through ``model.generate``: tokens, why they end, log-probability, and the stop token, apart."""
    device = next(model.parameters()).device
    ids = torch.tensor([list(prompt)], device=device)
    mode: dict[str, Any] = {"do_sample": False}
    if temperature > 0:
        mode = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    answers: list[tuple[tuple[int, ...], Literal["stop", "length"], float, int | None]] = []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        while len(answers) < n:
            rows = min(max_rows, n - len(answers)) if temperature > 0 else 1
            output = model.generate(
                ids.expand(rows, -1),
                attention_mask=torch.ones_like(ids).expand(rows, -1),
                max_new_tokens=room,
                eos_token_id=sorted(stop_ids) or None,
                pad_token_id=min(stop_ids, default=0),
                return_dict_in_generate=True,
                output_logits=True,
                **mode,
            )
            logprobs = torch.stack([logits.float().log_softmax(-1) for logits in output.logits], 1)
            for tokens, scores in zip(output.sequences[:, ids.shape[1] :].tolist(), logprobs, strict=True):
                length = next((i for i, token in enumerate(tokens) if token in stop_ids), len(tokens))
                stopped = length < len(tokens)
                chosen = torch.tensor(tokens[: length + stopped], device=device)
                total = float(scores[torch.arange(len(chosen)), chosen].double().sum())
                end = tokens[length] if stopped else None
                answers.append((tuple(tokens[:length]), "stop" if stopped else "length", total, end))
            if temperature == 0:
                return answers[:1] * n
    return answers
