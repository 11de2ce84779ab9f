"""Log-probabilities of given complete answers: exact rates, without sampling."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spillover.models.plain import forest_is_exact
from spillover.models.tree import Forest, batches


@torch.inference_mode()
def answer_logprobs(
    model: Any,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[Sequence[int]]],
    *,
    temperature: float = 1.0,
    least: float = -np.inf,
    max_rows: int = 2048,
) -> list[list[float]]:
    """Log-probability of each answer to each prompt.

    Answers to one prompt share the computation of their common beginnings.

    Args:
        model: A causal LM in evaluation mode, of Hugging Face or lean.
        prompts: Token ids of each prompt.
        answers: For each prompt, token ids of complete answers, the stop token included.
        temperature: Above 0; logits are divided by it.
        least: An answer may be given up, and minus infinity returned, where its beginning has less log-probability: so a
            mass of ``n`` answers is too small by ``n * exp(least)`` at most, for a fraction of the work.
        max_rows: Upper bound on the nodes of one forward pass.

    Returns:
        For each prompt, natural logarithms in the order of its answers; minus infinity where prompt and answer do not
        fit into the context of the model, or the answer was given up.
    """
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0 (found {temperature})")
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None) or np.inf
    result = [np.zeros(len(group)) for group in answers]
    asked = []
    for i, group in enumerate(answers):
        for j, answer in enumerate(group):
            if len(prompts[i]) + len(answer) > context + 1:
                result[i][j] = -np.inf
            elif answer:
                asked.append((i, j))
    wanted = sorted({i for i, _ in asked})
    together = forest_is_exact(model) if wanted else True
    widest = max((len(group) for group in answers), default=1)
    for batch in batches([prompts[i] for i in wanted], max(1, max_rows // max(1, widest))):
        chosen = [wanted[i] for i in batch]
        pairs = [(i, j) for i in chosen for j in range(len(answers[i])) if answers[i][j] and np.isfinite(result[i][j])]
        if together:
            row = {i: k for k, i in enumerate(chosen)}
            start = np.array([row[i] for i, _ in pairs])
            forest = Forest(model, [list(prompts[i]) for i in chosen])
            totals = _walk(forest, start, [list(answers[i][j]) for i, j in pairs], temperature, least)
        else:
            totals = np.array([_plain(model, prompts[i], answers[i][j], temperature) for i, j in pairs])
        for (i, j), total in zip(pairs, totals, strict=True):
            result[i][j] = total
    return [group.tolist() for group in result]


def _walk(
    forest: Forest, at: NDArray[np.int64], answers: list[list[int]], temperature: float, least: float
) -> NDArray[np.float64]:
    """Add up the steps of every answer; ``at`` is the live node of the forest each answer starts from, ascending."""
    lengths = np.array([len(answer) for answer in answers])
    tokens = np.zeros((len(answers), lengths.max()), dtype=np.int64)
    for row, answer in enumerate(answers):
        tokens[row, : len(answer)] = answer
    total = np.zeros(len(answers))
    live = np.arange(len(answers))
    for depth in range(tokens.shape[1]):
        step = (forest.logits.float() / temperature).log_softmax(-1)
        where = torch.from_numpy(at).to(step.device), torch.from_numpy(tokens[live, depth]).to(step.device)
        total[live] += step[where].double().cpu().numpy()
        on = lengths[live] > depth + 1
        given_up = on & (total[live] < least)
        total[live[given_up]] = -np.inf
        on &= ~given_up
        live, at = live[on], at[on]
        if not len(live):
            break
        vocabulary = step.shape[-1]
        key, at = np.unique(at * vocabulary + tokens[live, depth], return_inverse=True)
        forest.descend(key // vocabulary, key % vocabulary)
        order = np.argsort(at, kind="stable")
        live, at = live[order], at[order]
    return total


def _plain(model: Any, prompt: Sequence[int], answer: Sequence[int], temperature: float) -> float:
    ids = torch.tensor([[*prompt, *answer]], device=next(model.parameters()).device)
    steps = (model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float() / temperature).log_softmax(-1)
    return float(steps[torch.arange(len(answer)), ids[0, len(prompt) :]].double().sum())
