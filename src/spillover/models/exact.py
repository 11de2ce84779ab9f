"""Log-probabilities of given complete answers: exact rates, without sampling."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spillover.models.plain import forest_is_exact
from spillover.models.tree import Forest, Ints, batches


@torch.inference_mode()
def answer_logprobs(
    model: Any,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[Sequence[int]]],
    *,
    temperature: float = 1.0,
    spare: float = 0.0,
    max_rows: int = 2048,
) -> list[list[float]]:
    """Log-probability of each answer to each prompt.

    Answers to one prompt share the computation of their common beginnings.

    Args:
        model: A causal LM in evaluation mode, of Hugging Face or lean.
        prompts: Token ids of each prompt.
        answers: For each prompt, token ids of complete answers, the stop token included.
        temperature: Above 0; logits are divided by it.
        spare: Mass that may be given up for each prompt: where beginnings of answers are so rare that all of them
            together have no more, they are not followed, and minus infinity is returned for their answers.
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
    for batch in batches([prompts[i] for i in wanted], max_rows):
        chosen = [wanted[i] for i in batch]
        pairs = [(i, j) for i in chosen for j in range(len(answers[i])) if answers[i][j] and np.isfinite(result[i][j])]
        if together:
            row = {i: k for k, i in enumerate(chosen)}
            forest = Forest(model, [list(prompts[i]) for i in chosen])
            walk = _Walk([row[i] for i, _ in pairs], [answers[i][j] for i, j in pairs], temperature, spare, max_rows)
            totals = walk.run(forest)
        else:
            totals = np.array([_plain(model, prompts[i], answers[i][j], temperature) for i, j in pairs])
        for (i, j), total in zip(pairs, totals, strict=True):
            result[i][j] = total
    return [group.tolist() for group in result]


@dataclass
class _Part:
    """Some of the answers, all of which go on, and the nodes that they come to next."""

    forest: Forest
    parent: Ints
    """Ascending: the node of the forest above each node here; empty for the prompts themselves."""
    token: Ints
    live: Ints
    """The answers."""
    at: Ints
    """Ascending: the node here that each is at."""
    depth: int


class _Walk:
    """The answers to one batch of prompts, level by level.

    Args:
        prompt: Of each answer, ascending.
        answers: Their tokens.
        temperature: Logits are divided by it.
        spare: Mass of each prompt that need not be followed.
        max_rows: Upper bound on the nodes of one forward pass.
    """

    def __init__(
        self, prompt: Sequence[int], answers: Sequence[Sequence[int]], temperature: float, spare: float, max_rows: int
    ) -> None:
        self.prompt = np.array(prompt)
        self.lengths = np.array([len(answer) for answer in answers])
        self.tokens = np.zeros((len(answers), self.lengths.max()), dtype=np.int64)
        for row, answer in enumerate(answers):
            self.tokens[row, : len(answer)] = answer
        self.temperature, self.max_rows = temperature, max_rows
        self.left = np.full(self.prompt[-1] + 1, spare)
        self.total = np.zeros(len(answers))

    def run(self, forest: Forest) -> NDArray[np.float64]:
        """Log-probabilities of the answers, whose prompts are the live nodes of a forest."""
        nothing = np.empty(0, dtype=np.int64)
        waiting = [_Part(forest, nothing, nothing, np.arange(len(self.prompt)), self.prompt, 0)]
        while waiting:
            waiting += self._step(waiting.pop())
        return self.total

    def _step(self, part: _Part) -> Iterator[_Part]:
        """Add one token to every answer; give back what goes on, at most ``max_rows`` nodes together."""
        if part.depth:
            part.forest.descend(part.parent, part.token)
        step = (part.forest.logits.float() / self.temperature).log_softmax(-1)
        token = self.tokens[part.live, part.depth]
        where = torch.from_numpy(part.at).to(step.device), torch.from_numpy(token).to(step.device)
        self.total[part.live] += step[where].double().cpu().numpy()
        on = self.lengths[part.live] > part.depth + 1
        live, vocabulary = part.live[on], step.shape[-1]
        key, first, node = np.unique(part.at[on] * vocabulary + token[on], return_index=True, return_inverse=True)
        followed = _followed(np.exp(self.total[live[first]]), self.prompt[live[first]], self.left)
        self.total[live[~followed[node]]] = -np.inf
        kept = np.flatnonzero(followed)
        for chosen in np.array_split(kept, -(-len(kept) // self.max_rows)) if len(kept) else []:
            forest, parents = part.forest, key[chosen] // vocabulary
            if len(chosen) < len(kept):
                nodes, parents = np.unique(parents, return_inverse=True)
                forest = forest.part(nodes)
            inside = np.isin(node, chosen)
            at = np.searchsorted(chosen, node[inside])
            order = np.argsort(at, kind="stable")
            yield _Part(forest, parents, key[chosen] % vocabulary, live[inside][order], at[order], part.depth + 1)


def _followed(mass: NDArray[np.float64], prompt: NDArray[np.int64], left: NDArray[np.float64]) -> NDArray[np.bool_]:
    """All nodes but the rarest of each prompt, which may use up half of what is ``left`` to it; that is taken off."""
    order = np.lexsort((mass, prompt))
    running = mass[order].cumsum()
    begins = np.flatnonzero(np.r_[True, np.diff(prompt[order]) != 0]) if len(order) else order
    before = np.repeat(running[begins] - mass[order][begins], np.diff(np.r_[begins, len(order)]))
    dropped = np.zeros(len(mass), dtype=bool)
    dropped[order] = running - before < left[prompt[order]] / 2
    np.subtract.at(left, prompt[dropped], mass[dropped])
    return ~dropped


def _plain(model: Any, prompt: Sequence[int], answer: Sequence[int], temperature: float) -> float:
    ids = torch.tensor([[*prompt, *answer]], device=next(model.parameters()).device)
    steps = (model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float() / temperature).log_softmax(-1)
    return float(steps[torch.arange(len(answer)), ids[0, len(prompt) :]].double().sum())
