"""What holds a model to its task while it is fine-tuned, the same in every loop: changes of its states, and terms.

Changes (preventative steering, concept ablation) are hooks that are gone when training ends. Terms are added to the
loss: features and projections from the states of the same pass, the KL anchor from passes of its own on other rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spillover.core.errors import ConfigError, ModelError
from spillover.defences.config import Features, Stop
from spillover.models.blocks import edit
from spillover.models.chat_template import IGNORED
from spillover.models.directions import Direction, orthonormal
from spillover.models.steering import SteeringVector
from spillover.training.anchor import Anchor, Reference
from spillover.training.batches import Encoded, collate
from spillover.training.terms import FeatureTerm, ProjectionTerm, Seen, Term

MEASURED = 64
"""Rows on which the base's mean squared residual is taken."""


@dataclass(frozen=True)
class During:
    """What is done while a model is trained; all of it may be left out."""

    steer: Direction | None = None
    """Added to the residual stream."""
    ablate: Direction | None = None
    """Projected out of it, after that."""
    features: Features | None = None
    penalty: tuple[float, Direction] | None = None
    """λ, and unwanted directions."""
    stop: Stop | None = None

    @property
    def has_terms(self) -> bool:
        """Whether the base has to read every batch too."""
        return self.features is not None or self.penalty is not None


class Held:
    """Changes and terms of one fine-tuning.

    Args:
        model: As :func:`spillover.training.prepared.prepare` returned it, before its first step.
        rows: Encoded rows of the fine-tuning, for units.
        base: Computes the base's logits; see :func:`spillover.training.anchor.reference`. Terms need it.
        during: What is done.
        anchor: A KL anchor.
        pad_id: Token put behind short rows.

    Raises:
        ConfigError: There are fewer layers than ``features.every`` says.
        ModelError: A direction does not fit the model.
    """

    def __init__(
        self,
        model: Any,
        rows: Sequence[Encoded],
        base: Reference | None = None,
        during: During | None = None,
        anchor: Anchor | None = None,
        pad_id: int = 0,
    ) -> None:
        during = during or During()
        self._changes = [*_added(model, during.steer or {}), *_projected(model, during.ablate or {})]
        self._anchor = anchor
        self._on = True
        self._reading: dict[int, Tensor] | None = None
        self._counted: Tensor | None = None
        self._base = base
        self.terms = self._make_terms(model, rows, during, pad_id) if during.has_terms else {}

    @property
    def row_passes(self) -> dict[str, int]:
        """Forward and backward passes for each row of the task, the anchor's own rows counted with them."""
        anchored = int(self._anchor is not None)
        return {"forward": 1 + int(bool(self.terms)) + 2 * anchored, "backward": 1 + anchored}

    @property
    def weights(self) -> dict[str, float]:
        """λ of each term, by its name in the metrics."""
        anchored = {} if self._anchor is None else {"kl": self._anchor.weight}
        return {name: term.weight for name, term in self.terms.items()} | anchored

    @property
    def reads(self) -> bool:
        """Whether states of the training pass are needed, which recomputation would not keep."""
        return bool(self.terms)

    @contextmanager
    def attached(self, model: Any) -> Iterator[None]:
        """Inside, the model is changed, and its states are read in every pass that gradients flow through."""
        with ExitStack() as stack:
            for layer, change in self._changes:
                stack.callback(edit(model, layer, self._when_on(change)).remove)
                if isinstance(self._base, torch.nn.Module):
                    stack.callback(edit(self._base, layer, change).remove)
            for layer in self._layers():
                stack.callback(edit(model, layer, self._reader(layer)).remove)
            yield

    @contextmanager
    def reading(self, labels: Tensor) -> Iterator[None]:
        """Inside is the training pass of a batch with these labels."""
        self._reading, self._counted = {}, labels != IGNORED
        try:
            yield
        finally:
            self._counted = None

    def added(
        self,
        model: Any,
        ids: Tensor,
        mask: Tensor | None,
        labels: Tensor,
        step: int,
        tokens: int,
        part: int = 0,
        parts: int = 1,
    ) -> dict[str, tuple[float, Tensor]]:
        """Weight and value of each term, after the training pass of a batch or of one of its equal parts.

        Args:
            model: That is trained.
            ids: Of the part, rows × positions.
            mask: Of the part.
            labels: Of the part.
            step: 0-based.
            tokens: Response tokens of the whole batch.
            part: Which of them, 0-based.
            parts: How many; values of parts add up to that of the batch.
        """
        found: dict[str, tuple[float, Tensor]] = {}
        if self.terms:
            now, self._reading = self._reading or {}, None
            seen = Seen(now, self._before(model, ids, mask, labels), tokens)
            found = {name: (term.weight, term.value(seen)) for name, term in self.terms.items()}
        if self._anchor is not None:
            self._reading = None
            with self._off():  # the model is held to its base as it will be used
                found["kl"] = (self._anchor.weight, self._anchor.kl(model, step, part, parts))
        return found

    def _make_terms(self, model: Any, rows: Sequence[Encoded], during: During, pad_id: int) -> dict[str, Term]:
        depth = model.config.get_text_config().num_hidden_layers
        penalty, direction = during.penalty or (0.0, {})
        wanted: list[int] = []
        if during.features:
            features = during.features
            wanted = list(features.layers or range(features.every - 1, depth, features.every))
            if not wanted:
                raise ConfigError(f"defences.features.every: the model has {depth} blocks only")
        for layer in (*wanted, *direction):
            if not -1 <= layer < depth:
                raise ModelError(f"layer {layer}: no such block; this model has blocks 0 to {depth - 1}")
        for vectors in direction.values():
            for vector in vectors:
                vector.check_fits(model)
        sizes = self._sizes(model, rows[:MEASURED], sorted({*wanted, *direction}), pad_id)
        terms: dict[str, Term] = {}
        if during.features:
            terms["features"] = FeatureTerm(during.features.weight, {layer: sizes[layer] for layer in wanted})
        if direction:
            terms["penalty"] = ProjectionTerm(penalty, direction, sizes)
        return terms

    @torch.no_grad()
    def _sizes(self, model: Any, rows: Sequence[Encoded], layers: Sequence[int], pad_id: int) -> dict[int, float]:
        """The base's mean squared residual at response tokens."""
        ids, labels, mask = (part.to(model.device) for part in collate(rows, pad_id))
        before = self._read(model, layers, ids, mask, labels)
        return {layer: float(states.float().square().sum(-1).mean()) for layer, states in before.items()}

    def _before(self, model: Any, ids: Tensor, mask: Tensor | None, labels: Tensor) -> dict[int, Tensor]:
        with torch.no_grad():
            return self._read(model, self._layers(), ids, mask, labels)

    def _read(
        self, model: Any, layers: Sequence[int], ids: Tensor, mask: Tensor | None, labels: Tensor
    ) -> dict[int, Tensor]:
        """States of the base at response tokens."""
        assert self._base is not None
        found: dict[int, Tensor] = {}
        counted = labels != IGNORED

        def reader(layer: int) -> Any:
            def read(hidden: Tensor, kwargs: Any) -> Tensor:
                found[layer] = hidden[counted]
                return hidden

            return read

        place = self._base if isinstance(self._base, torch.nn.Module) else model
        with ExitStack() as stack:
            for layer in layers:
                stack.callback(edit(place, layer, reader(layer)).remove)
            self._base(input_ids=ids, attention_mask=mask, use_cache=False)
        return found

    def _layers(self) -> list[int]:
        return sorted({layer for term in self.terms.values() for layer in term.layers})

    def _reader(self, layer: int) -> Any:
        def read(hidden: Tensor, kwargs: Any) -> Tensor:
            if self._reading is not None and self._counted is not None and torch.is_grad_enabled():
                self._reading[layer] = hidden[self._counted]
            return hidden

        return read

    def _when_on(self, change: Any) -> Any:
        def changed(hidden: Tensor, kwargs: Mapping[str, Any]) -> Tensor:
            found: Tensor = change(hidden, kwargs) if self._on else hidden
            return found

        return changed

    @contextmanager
    def _off(self) -> Iterator[None]:
        self._on = False
        try:
            yield
        finally:
            self._on = True


def _added(model: Any, direction: Direction) -> Iterator[tuple[int, Any]]:
    """What preventative steering does at each layer."""
    for layer, vectors in direction.items():
        for vector in vectors:
            vector.check_fits(model)
            yield layer, _adding(vector)


def _adding(vector: SteeringVector) -> Any:
    def shifted(hidden: Tensor, kwargs: Any) -> Tensor:
        return hidden + vector.vector.to(hidden)

    return shifted


def _projected(model: Any, direction: Direction) -> Iterator[tuple[int, Any]]:
    """What concept ablation does at each layer."""
    for layer, vectors in direction.items():
        for vector in vectors:
            vector.check_fits(model)
        yield layer, _projecting(torch.stack([vector.vector for vector in orthonormal(vectors)]))


def _projecting(basis: Tensor) -> Any:
    def projected(hidden: Tensor, kwargs: Any) -> Tensor:
        out = basis.to(hidden)
        return hidden - (hidden @ out.T) @ out

    return projected
