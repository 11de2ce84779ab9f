"""Features of a sparse autoencoder that fine-tuning, or a condition, moves; and a fine-tune without them.

As arXiv 2512.09742 (section 6) does it: the mean difference of the residual stream at the last token of the same
prompts, in two conditions or in two models; the decoder directions nearest to it; their ablation at every position.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spillover.analysis.asked import Asking, ByGroup, by_turns, prompts_of
from spillover.analysis.dictionary import Dictionary, switched_off, token_states
from spillover.analysis.fires import Fires
from spillover.analysis.texts import read_texts, some_texts
from spillover.core.errors import DataError
from spillover.data.questions import Question
from spillover.models.ablation import ablated
from spillover.models.activations import last_states
from spillover.models.load import Loaded
from spillover.models.steering import SteeringVector
from spillover.training.fine_tune import context_length

COSINE, ACTIVATION = "cosine", "activation"
RANKINGS = (COSINE, ACTIVATION)
"""By the cosine of a feature's direction with the difference, as published; by the difference of its activation."""
PROJECTED, OFF = "projected out", "switched off"
WAYS = (PROJECTED, OFF)
"""How a feature is taken away: its direction at every position, as published; or what it writes where it is active."""
NEAREST = 10
"""Features as active as a given one, among which its control is drawn."""
FAINT = 1e-4
"""Activation below which one is as good as another."""


@dataclass(frozen=True)
class Moved:
    """How a comparison moves the features of a dictionary."""

    name: str
    title: str
    difference: Tensor
    """Mean residual stream of the first minus the second, at the last token: width."""
    cosine: Tensor
    """Of each feature's direction with it."""
    activation: Tensor
    """Of each feature: mean activation in the first minus the second."""

    def top(self, ranking: str, count: int) -> list[int]:
        """The features that are moved up most."""
        values = self.cosine if ranking == COSINE else self.activation
        best = values.topk(min(count, len(values)))
        return [int(i) for i, value in zip(best.indices, best.values, strict=True) if value > 0]


def moved(dictionary: Dictionary, name: str, title: str, first: Tensor, second: Tensor) -> Moved:
    """Compare states at last tokens, prompts × width each."""
    difference = first.mean(0) - second.mean(0)
    if not difference.norm() > 0:
        raise DataError(f"{title}: there is no difference between them")
    features = len(dictionary.directions)
    return Moved(
        name,
        title,
        difference,
        dictionary.directions @ (difference / difference.norm()),
        dictionary.active(first).mean(features) - dictionary.active(second).mean(features),
    )


def as_active(activity: Tensor, chosen: Sequence[int], without: Sequence[int], seed: int) -> list[int]:
    """For each chosen feature another one of about its activity, drawn among the nearest.

    Args:
        activity: Of every feature.
        chosen: Features.
        without: Features that are never drawn, beside those that are never active.
        seed: Of the draw.

    Returns:
        As many features as were chosen, or all that there are.
    """
    rng = np.random.default_rng(seed)
    free = [i for i in torch.nonzero(activity > 0).flatten().tolist() if i not in {*chosen, *without}]
    drawn = []
    for feature in chosen:
        if not free:
            break
        level = (activity[feature] + FAINT).log()
        free.sort(key=lambda i: abs(float((activity[i] + FAINT).log() - level)))
        drawn.append(free.pop(int(rng.integers(min(NEAREST, len(free))))))
    return drawn


class Features:
    """A fine-tune, what it is compared with, and the dictionary of the base both come from.

    Args:
        base: Of all of them, loaded.
        tuned: The fine-tune.
        against: What it is compared with on unrelated text: the base, or another fine-tune.
        dictionary: Of the base.
        config: As of :func:`spillover.analysis.stages.features`, with :class:`Question` objects.
    """

    def __init__(
        self, base: Loaded, tuned: Any, against: Any, dictionary: Dictionary, config: Mapping[str, Any]
    ) -> None:
        SteeringVector(dictionary.layer, dictionary.directions[0]).check_fits(base.model)
        self._base, self.tuned, self._against = base, tuned, against
        self.dictionary = dictionary
        self._config = config
        questions: list[Question] = config["questions"]
        self.conditions = list(dict.fromkeys(question.condition for question in questions))
        measured, self._finding = by_turns(prompts_of(base.tokenizer, questions, config["most"]))
        self.asking = Asking(base.model, base.tokenizer, measured, config["label"])
        if not self._finding:
            raise DataError("features: every condition needs two prompts, one to find features on and one to measure")
        limit = context_length(base.model)
        held = read_texts(config["texts"], base.tokenizer, limit, held=True)
        self.fires = Fires(
            base.model,
            base.tokenizer,
            dictionary,
            some_texts(held, config["documents"]),
            self._finding[0][2][-1],
        )
        unrelated = read_texts(config["texts"], base.tokenizer, limit, held=True, without=config["trained"])
        self._unrelated = [text.prompt for text in some_texts(unrelated, config["documents"])]
        width = len(dictionary.directions)
        prompts = [prompt for _, _, prompt in self._finding]
        states = token_states(tuned, base.tokenizer, prompts, dictionary.layer)[0]
        self.activity = dictionary.active(states).mean(width)
        """Mean activation of every feature over the tokens of the prompts, in the fine-tune."""
        self.on_prompts = dictionary.quality(states)

    def between_conditions(self) -> Moved | None:
        """The fine-tune on prompts of the first conditions against those of the second; None where none are named."""
        if not self._config["first"]:
            return None
        first, second = (self._states(self.tuned, self._config[which]) for which in ("first", "second"))
        title = f"{named(self._config['first'])} against {named(self._config['second'])}"
        return moved(self.dictionary, "conditions", title, first, second)

    def in_base(self) -> Tensor:
        """The same difference between conditions in the base."""
        first, second = (self._states(self._base.model, self._config[which]) for which in ("first", "second"))
        return first.mean(0) - second.mean(0)

    def between_models(self) -> Moved:
        """The fine-tune against the other model on unrelated prompts."""
        states = (last_states(model, self._unrelated, self.dictionary.layer) for model in (self.tuned, self._against))
        title = f"tuned against {self._config['against']}, unrelated prompts"
        return moved(self.dictionary, "models", title, *states)

    def without(self, features: Sequence[int], way: str) -> ByGroup:
        """Rates of the fine-tune without some features."""
        if way == OFF:
            return self.asking.rates(self.tuned, switched_off(self.tuned, self.dictionary, features))
        return self.without_directions(self.dictionary.directions[list(features)])

    def without_directions(self, directions: Tensor) -> ByGroup:
        """Rates with directions projected out at that block, one after another: directions × width."""
        vectors = [SteeringVector(self.dictionary.layer, direction) for direction in directions]
        return self.asking.rates(self.tuned, ablated(self.tuned, vectors))

    def _states(self, model: Any, conditions: Sequence[str]) -> Tensor:
        prompts = [prompt for question, _, prompt in self._finding if question.condition in conditions]
        return last_states(model, prompts, self.dictionary.layer)


def named(conditions: Sequence[str]) -> str:
    """Several conditions in one word."""
    return " + ".join(conditions)
