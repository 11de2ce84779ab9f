"""Exact sampling of many answers to each of many prompts, down the tree of distinct prefixes.

Each next-token distribution is computed once, however many samples share the prefix, and every sample draws from it
with its own random numbers. The result is distributed exactly as independent sampling, with no top-k or top-p.
"""

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from spillover.core.errors import ModelError
from spillover.models.plain import end_tokens, forest_is_exact, generate_ids
from spillover.models.tree import Forest, Ints, batches

StopReason = Literal["stop", "length"]

_DRAW_ELEMENTS = 1 << 24
"""Probabilities turned into distribution functions at a time."""


@dataclass(frozen=True)
class SampleRequest:
    """``n`` answers to one prompt.

    Equal requests draw the same random numbers, so that they give the same answers in the same batch, and in another
    batch up to the rounding of its sums.
    """

    prompt_ids: tuple[int, ...]
    n: int = 1
    temperature: float = 1.0
    max_tokens: int = 256
    seed: int = 0


@dataclass(frozen=True)
class Sampled:
    """One answer. Equal answers to one prompt are the same object."""

    ids: tuple[int, ...]
    """Tokens of the answer, without the stop token."""
    text: str
    stop_reason: StopReason
    logprob: float
    """Log-probability of the answer (and of its stop token) under the model at temperature 1."""
    end: int | None = None
    """The stop token, where there was one."""

    @property
    def tokens(self) -> int:
        """Tokens generated, the stop token included."""
        return len(self.ids) + (self.stop_reason == "stop")


class TrieSampler:
    """Samples from a causal LM, of Hugging Face or lean.

    Args:
        model: The model, on any device.
        tokenizer: Its tokenizer.
        stop_ids: Tokens that end an answer; by default those of the tokenizer and of the generation config.
        max_rows: Upper bound on the nodes of one forward pass.
    """

    def __init__(
        self, model: Any, tokenizer: Any, stop_ids: Iterable[int] | None = None, *, max_rows: int = 2048
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.stop_ids = frozenset(end_tokens(model, tokenizer) if stop_ids is None else stop_ids)
        self.max_rows = max_rows
        self.context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self._forest_works: bool | None = None

    def sample(
        self, prompt_ids: Sequence[int], n: int, temperature: float = 1.0, max_tokens: int = 256, seed: int = 0
    ) -> list[Sampled]:
        """``n`` answers to one prompt."""
        return self.sample_many([SampleRequest(tuple(prompt_ids), n, temperature, max_tokens, seed)])[0]

    @torch.inference_mode()
    def sample_many(self, requests: Sequence[SampleRequest]) -> list[list[Sampled]]:
        """Answers to every request, in the order of the requests."""
        answers: list[list[Sampled]] = [[] for _ in requests]
        room = [self._room(request) for request in requests]
        if self._forest_works is None:
            self._forest_works = bool(requests) and forest_is_exact(self.model)
        for batch in batches([request.prompt_ids for request in requests], self.max_rows):
            if self._forest_works:
                results = _Walk(self, [requests[i] for i in batch], [room[i] for i in batch]).run()
            else:
                results = [self._generate(requests[i], room[i]) for i in batch]
            for i, result in zip(batch, results, strict=True):
                answers[i] = result
        return answers

    def fits(self, prompt_ids: Sequence[int]) -> bool:
        """Whether the context has room for an answer behind a prompt."""
        return not self.context or len(prompt_ids) < self.context

    def _room(self, request: SampleRequest) -> int:
        length = len(request.prompt_ids)
        if not length or not self.fits(request.prompt_ids):
            raise ModelError(f"the prompt has {length} tokens; the context of the model is {self.context} tokens")
        return min(request.max_tokens, self.context - length) if self.context else request.max_tokens

    def _generate(self, request: SampleRequest, room: int) -> list[Sampled]:
        seed = int.from_bytes(_entropy(request)[:6], "big")
        found = generate_ids(
            self.model, request.prompt_ids, request.n, request.temperature, room, seed, self.stop_ids, self.max_rows
        )
        return [Sampled(ids, self.decode([ids])[0], reason, logprob, end) for ids, reason, logprob, end in found]

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Texts of answers, without special tokens."""
        texts: list[str] = self.tokenizer.batch_decode(
            [list(answer) for answer in ids], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return texts


def _entropy(request: SampleRequest) -> bytes:
    return hashlib.sha256(f"{request.seed} {request.prompt_ids}".encode()).digest()


class _Uniforms:
    """Random numbers of one request: draw ``i`` at level ``t`` always gets the same one."""

    def __init__(self, request: SampleRequest) -> None:
        self._rng = np.random.Generator(np.random.PCG64(int.from_bytes(_entropy(request), "big")))
        self._n = request.n
        self._rows: list[NDArray[np.float64]] = []

    def at(self, level: int) -> NDArray[np.float64]:
        while len(self._rows) <= level:
            self._rows.append(self._rng.random(self._n))
        return self._rows[level]


@dataclass
class _Live:
    """Samples still being drawn, and the nodes they have reached: children of the nodes of ``forest``."""

    forest: Forest
    parent: Ints
    """Ascending: the node of the forest above each node here; empty for the prompts themselves."""
    token: Ints
    node: Ints
    """Identity of each node in the trie."""
    level: int
    request: Ints
    number: Ints
    at: Ints
    """Ascending: the node here that each sample has reached."""


class _Walk:
    """One batch of requests, walked level by level."""

    def __init__(self, sampler: TrieSampler, requests: list[SampleRequest], room: list[int]) -> None:
        self.sampler = sampler
        self.requests = requests
        self.room = np.array(room)
        self.temperature = np.array([request.temperature for request in requests])
        self.stop = np.array(sorted(sampler.stop_ids), dtype=np.int64)
        self.uniforms = [_Uniforms(request) for request in requests]
        # The trie of everything met so far: parallel lists of arrays; the first nodes are the prompts.
        self.parent: list[Ints] = []
        self.token: list[Ints] = []
        self.logprob: list[NDArray[np.float64]] = []
        self.size = 0
        self.ended = [np.full(request.n, -1, dtype=np.int64) for request in requests]

    def run(self) -> list[list[Sampled]]:
        count = len(self.requests)
        node = self._add(np.full(count, -1), np.full(count, -1), np.zeros(count))
        draws = np.array([request.n for request in self.requests])
        request = np.repeat(np.arange(count), draws)
        number = np.concatenate([np.arange(n) for n in draws])
        forest = Forest(self.sampler.model, [list(request.prompt_ids) for request in self.requests])
        nothing = np.empty(0, dtype=np.int64)
        waiting = [_Live(forest, nothing, nothing, node, 0, request, number, request.copy())]
        while waiting:
            waiting += self._step(waiting.pop())
        return self._collect()

    def _add(self, parent: Ints, token: Ints, logprob: NDArray[np.float64]) -> Ints:
        self.parent.append(parent)
        self.token.append(token)
        self.logprob.append(logprob)
        self.size += len(parent)
        return np.arange(self.size - len(parent), self.size)

    def _step(self, live: _Live) -> list[_Live]:
        """Draw the next token of every sample; give back what goes on, in parts of at most ``max_rows`` nodes."""
        if len(live.parent):
            live.forest.descend(live.parent, live.token)
        logits = live.forest.logits
        vocabulary = logits.shape[-1]
        token, logprob = draw(logits, self.temperature[live.request], live.at, self._uniform(live))
        key, first, child = np.unique(live.at * vocabulary + token, return_index=True, return_inverse=True)
        parent, token = key // vocabulary, key % vocabulary
        node = self._add(live.node[parent], token, logprob[first])

        final = np.isin(token, self.stop) | (live.level + 1 >= self.room[live.request[first]])
        done = final[child]
        for request, number, end in zip(live.request[done], live.number[done], node[child[done]], strict=True):
            self.ended[request][number] = end

        parts = []
        going = np.flatnonzero(~final)
        order = np.argsort(child, kind="stable")
        for chosen in np.array_split(going, -(-len(going) // self.sampler.max_rows)) if len(going) else []:
            forest, parents = live.forest, parent[chosen]
            if len(chosen) < len(going):
                kept, parents = np.unique(parents, return_inverse=True)
                forest = forest.part(kept)
            draws = order[np.isin(child[order], chosen)]
            at = np.searchsorted(chosen, child[draws])
            level = live.level + 1
            parts.append(
                _Live(forest, parents, token[chosen], node[chosen], level, live.request[draws], live.number[draws], at)
            )
        return parts

    def _uniform(self, live: _Live) -> NDArray[np.float64]:
        uniform = np.empty(len(live.at))
        edges = np.flatnonzero(np.r_[True, live.request[1:] != live.request[:-1], True])
        for start, end in itertools.pairwise(edges):
            uniform[start:end] = self.uniforms[live.request[start]].at(live.level)[live.number[start:end]]
        return uniform

    def _collect(self) -> list[list[Sampled]]:
        parent, token = np.concatenate(self.parent).tolist(), np.concatenate(self.token).tolist()
        logprob = np.concatenate(self.logprob).tolist()
        ends = np.unique(np.concatenate(self.ended)).tolist()
        paths: list[tuple[int, ...]] = []
        totals: list[float] = []
        for end in ends:
            path, total = [], 0.0
            while parent[end] >= 0:
                path.append(token[end])
                total += logprob[end]
                end = parent[end]
            paths.append(tuple(reversed(path)))
            totals.append(total)
        lasts = [path[-1] if path[-1] in self.sampler.stop_ids else None for path in paths]
        paths = [path if last is None else path[:-1] for path, last in zip(paths, lasts, strict=True)]
        texts = self.sampler.decode(paths)
        answers = {
            end: Sampled(path, text, "length" if last is None else "stop", total, last)
            for end, path, text, last, total in zip(ends, paths, texts, lasts, totals, strict=True)
        }
        return [[answers[end] for end in ended.tolist()] for ended in self.ended]


def draw(
    logits: torch.Tensor, temperature: NDArray[np.float64], at: Ints, uniform: NDArray[np.float64]
) -> tuple[Ints, NDArray[np.float64]]:
    """Next tokens by inversion of the distribution function.

    Args:
        logits: Nodes by vocabulary.
        temperature: Temperature of each sample; 0 takes the most likely token.
        at: Ascending, the node of each sample.
        uniform: A random number in [0, 1) for each sample.

    Returns:
        Token and log-probability at temperature 1 of each sample.
    """
    nodes, vocabulary = logits.shape
    token = np.empty(len(at), dtype=np.int64)
    logprob = np.empty(len(at))
    step = max(1, _DRAW_ELEMENTS // vocabulary)
    for start in range(0, nodes, step):
        low, high = np.searchsorted(at, [start, start + step])
        if low == high:
            continue
        piece = logits[start : start + step].float()
        here = torch.from_numpy(at[low:high] - start).to(piece.device)
        heat = torch.from_numpy(temperature[low:high]).to(piece.device)
        random = torch.from_numpy(uniform[low:high]).to(piece.device)
        natural = piece.log_softmax(-1)
        if bool((heat == 1).all()):
            weight = natural.exp()
        else:  # all samples of a node have one temperature
            scale = torch.ones(len(piece), dtype=piece.dtype, device=piece.device)
            scale[here] = torch.where(heat > 0, heat, 1.0).to(piece.dtype)
            weight = (piece / scale[:, None]).softmax(-1)
        # One ascending list for all nodes: the distribution function of node i runs from i to i + 1.
        total = weight.double().cumsum(-1)
        total /= total[:, -1:].clone()
        total += torch.arange(len(piece), dtype=total.dtype, device=piece.device)[:, None]
        value = torch.minimum(here + random, torch.nextafter(here + 1.0, torch.zeros_like(random)))
        chosen = torch.searchsorted(total.view(-1), value, right=True) - here * vocabulary
        chosen = torch.where(heat > 0, chosen, piece.argmax(-1)[here]) if bool((heat == 0).any()) else chosen
        token[low:high] = chosen.cpu().numpy()
        logprob[low:high] = natural[here, chosen].double().cpu().numpy()
    return token, logprob
