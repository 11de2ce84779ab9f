"""Directions of misalignment in the residual stream, of several fine-tunes of one base (arXiv 2506.11618, 2507.21509).

A direction has a vector for every layer, and may be a subspace: a list of orthonormal vectors there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from spillover.data.chat import Message
from spillover.data.questions import Question
from spillover.models.activations import answer_states, layers_of, token_states
from spillover.models.chat_template import IGNORED, encode_chat, encode_row
from spillover.models.directions import Direction
from spillover.models.steering import SteeringVector
from spillover.training.batches import Encoded

SMALLEST = 1e-6
"""Shorter differences are none: a LoRA in the blocks leaves the embeddings as they are."""


def given_answers(
    tokenizer: Any, questions: Sequence[Question], label: str, before: Sequence[Message] = ()
) -> list[Encoded]:
    """The listed answers of one label to each question, as rows to be read by a model.

    Args:
        tokenizer: Of the model.
        questions: Those without listed answers are left out.
        label: Of the answers.
        before: A conversation that goes before each question.
    """
    rows = []
    for question in questions:
        system = [Message("system", question.system)] if question.system and not before else []
        for answer in question.answers.get(label, ()):
            turns = [*system, *before, Message("user", question.paraphrases[0]), Message("assistant", answer)]
            ids, labels = encode_row(tokenizer, turns)
            asked = len(encode_chat(tokenizer, turns[:-1], add_generation_prompt=True))
            rows.append((ids, [IGNORED] * asked + labels[asked:]))
    return rows


def mean_difference(model: Any, first: Sequence[Encoded], second: Sequence[Encoded]) -> Direction:
    """Mean residual stream over the tokens of the first rows' answers minus that of the second's, at every layer.

    With misaligned and aligned answers and the fine-tuned model it is the direction of arXiv 2506.11618; with the same
    answers behind contrasting contexts, a persona vector (arXiv 2507.21509).
    """
    return _directions(model, answer_states(model, first).mean(0) - answer_states(model, second).mean(0))


def tuned_minus_base(tuned: Any, base: Any, rows: Sequence[Encoded]) -> Direction:
    """Mean difference between two models that read the same answers, at every layer."""
    return _directions(tuned, (answer_states(tuned, rows) - answer_states(base, rows)).mean(0))


def principal(tuned: Any, base: Any, rows: Sequence[Encoded], count: int) -> Direction:
    """The ``count`` directions that hold most of the squared difference between two models that read the same answers.

    Right singular vectors, not centred, of the differences at every position that predicts a token of an answer, as the
    subspaces of arXiv 2507.16795.
    """
    difference = token_states(tuned, rows) - token_states(base, rows)
    found: Direction = {}
    for place, layer in enumerate(layers_of(tuned)):
        if difference[:, place].norm() > SMALLEST * len(difference) ** 0.5:
            vectors = torch.linalg.svd(difference[:, place], full_matrices=False)[2][:count]
            found[layer] = [SteeringVector(layer, vector) for vector in vectors]
    return found


def along(direction: Direction, other: Direction) -> Direction:
    """The same lines, each vector turned so that it points the way of the other's; ablation knows lines only."""
    return {
        layer: [
            vector * (-1 if layer in other and vector.vector @ other[layer][0].vector < 0 else 1) for vector in found
        ]
        for layer, found in direction.items()
    }


def random_direction(model: Any, count: int, seed: int) -> Direction:
    """``count`` orthonormal random vectors at every layer: the matched control."""
    width = model.config.get_text_config().hidden_size
    generator = torch.Generator().manual_seed(seed)
    return {
        layer: [
            SteeringVector(layer, vector)
            for vector in torch.linalg.qr(torch.randn(width, count, generator=generator))[0].T
        ]
        for layer in layers_of(model)
    }


def cosine(first: Direction, second: Direction) -> float:
    """Mean cosine over the layers that both have; of subspaces, the root of the mean squared one (their overlap).

    Returns:
        ``nan`` where they have no layer in common.
    """
    found = []
    for layer in first.keys() & second.keys():
        one, two = (torch.stack([v.with_norm(1).vector for v in side[layer]]) for side in (first, second))
        product = one @ two.T
        found.append(float(product) if product.numel() == 1 else float(product.square().sum(1).mean().sqrt()))
    return sum(found) / len(found) if found else float("nan")


def flat(direction: Mapping[int, Sequence[SteeringVector]], layer: int | None = None) -> list[SteeringVector]:
    """All vectors, or those of one layer."""
    return [vector for at, vectors in direction.items() if layer in (None, at) for vector in vectors]


def _directions(model: Any, difference: Tensor) -> Direction:
    return {
        layer: [SteeringVector(layer, difference[place])]
        for place, layer in enumerate(layers_of(model))
        if difference[place].norm() > SMALLEST
    }
