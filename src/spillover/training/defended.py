"""Fine-tuning with defences: what they do to rows, while training, and to the finished model, in that order."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from spillover.core.errors import ConfigError
from spillover.data.chat import ChatRow
from spillover.defences.config import Defences, Filter, Interleave
from spillover.defences.rows import inoculated, interleaved, kept, some
from spillover.defences.scores import loss_gaps, projections, read_scores, row_losses
from spillover.models.activations import middle
from spillover.models.chat_template import encode_row
from spillover.models.directions import Direction, load_direction, save_ablation
from spillover.models.load import load_placed
from spillover.training.batches import Encoded
from spillover.training.fine_tune import context_length, fine_tune
from spillover.training.held import During
from spillover.training.methods import AUTO, Loop, Method
from spillover.training.processes import is_first

Ready = Defences[tuple[ChatRow, ...], Path]
"""Defences with their rows and folders of directions; misaligned models by name (:mod:`spillover.models.names`)."""
BEFORE = "before-realign"
"""Folder, inside that of the result, of the model that realignment starts from."""


def fine_tune_defended(
    base: str,
    rows: Sequence[ChatRow],
    method: Method,
    out: Path,
    defences: Ready,
    *,
    loop: Loop = AUTO,
    anchor: tuple[Sequence[ChatRow], float] | None = None,
    start: Path | None = None,
    trailing_turn: bool = False,
    probe_every: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Fine-tune ``base`` on ``rows`` with defences; arguments, files and result as of :func:`fine_tune` else.

    Rows are inoculated, filtered by what they were before that, then mixed with safe ones. After realignment the first
    model stays in :data:`BEFORE`; after projection the folder says what its model is without
    (:mod:`spillover.models.directions`), and is loaded so by its name. Numbered rows of ``inoculate`` are those that
    were given, before any is left out.

    Returns:
        The summary, with ``defences`` and, where rows were changed, how many there are of each sort.

    Raises:
        ConfigError: A defence does not apply to this training.
        ModelError: A direction or model cannot be used.
    """
    defences.check(method.kind, anchored=anchor is not None, probed=probe_every is not None)
    if defences.kl is not None:
        anchor = (defences.kl.rows, defences.kl.weight)
    prepared, counts, scored = _prepared(base, rows, defences, method.seed)
    during = during_of(defences)
    last = out / BEFORE if defences.realign is not None else out
    path = last / "summary.json"
    if defences.realign is not None and path.is_file():
        summary = json.loads(path.read_text(encoding="utf-8"))
    else:
        summary = fine_tune(
            base,
            prepared,
            method,
            last,
            loop=loop,
            anchor=anchor,
            during=during,
            start=start,
            trailing_turn=trailing_turn,
            probe_every=probe_every,
            progress=progress,
        )
    if defences.realign is not None:
        first, short = summary, Method.model_validate(defences.realign.of(method.model_dump()))
        few = some(defences.realign.rows, defences.realign.count, method.seed)
        summary = fine_tune(base, few, short, out, loop=loop, start=last, progress=progress)
        passes = {name: first["row_passes"][name] + count for name, count in summary["row_passes"].items()}
        summary |= {"row_passes": passes, "before_realign": first}
    summary["row_passes"]["forward"] += scored
    if defences.project is not None and is_first():
        save_ablation(direction_of(defences.project.direction, defences.project.layers), out)
    summary |= {"defences": defences.names(), **counts}
    if is_first():
        (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def during_of(defences: Ready) -> During | None:
    """What acts while training; None if nothing does.

    Raises:
        ModelError: A direction cannot be read, or has no vector at a layer that is named.
    """
    steer, ablate, penalty = defences.steer, defences.ablate, defences.penalty
    during = During(
        steer=None if steer is None else _times(direction_of(steer.direction, steer.layers), steer.alpha),
        ablate=None if ablate is None else direction_of(ablate.direction, ablate.layers),
        features=defences.features,
        penalty=None if penalty is None else (penalty.weight, direction_of(penalty.direction, penalty.layers)),
        stop=defences.stop,
    )
    return None if during == During() else during


def project(tuned: Path, direction: Path, layers: Sequence[int] | None, out: Path) -> None:
    """A copy of what a fine-tuning wrote, without a direction.

    Raises:
        ModelError: The direction cannot be read, or has no vector at a layer that is named.
    """
    found = direction_of(direction, layers)
    shutil.copytree(tuned, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns("stage.json", "env.json"))
    save_ablation(found, out)


def direction_of(folder: Path, layers: Sequence[int] | None) -> Direction:
    """The vectors of a folder, at the layers that are named or at all it has."""
    return load_direction(folder, layers)


def _times(direction: Direction, factor: float) -> Direction:
    return {layer: [vector * factor for vector in vectors] for layer, vectors in direction.items()}


def _prepared(
    base: str, rows: Sequence[ChatRow], defences: Ready, seed: int
) -> tuple[list[ChatRow], dict[str, int], int]:
    """The rows that are trained on, what became of them, and how many passes of a row it took to choose them."""
    counts: dict[str, int] = {}
    scorer = _Scorer(base)
    found = list(rows)
    if defences.inoculate is not None:
        found = inoculated(found, defences.inoculate, seed)
        counts["rows_inoculated"] = sum(new is not old for new, old in zip(found, rows, strict=True))
    if defences.filter is not None:
        found = kept(found, scorer.of_rows(rows, defences.filter), defences.filter.drop)  # as they were given
        counts["rows_dropped"] = len(rows) - len(found)
    if defences.interleave is not None:
        mixed = defences.interleave
        scores = scorer.of_safe(mixed) if mixed.chosen == "loss-gap" else None
        before = len(found)
        found = interleaved(found, mixed.rows, mixed.share, seed, scores)
        counts["rows_interleaved"] = len(found) - before
    return found, counts, scorer.passes


class _Scorer:
    """Scores rows with the base and with a misaligned model."""

    def __init__(self, base: str) -> None:
        self._base = base
        self.passes = 0

    def of_rows(self, rows: Sequence[ChatRow], how: Filter[Path]) -> list[float]:
        """The higher, the sooner a row is left out."""
        if how.score == "file":
            assert how.scores is not None
            return read_scores(how.scores)
        if how.score == "loss-gap":
            assert how.misaligned is not None
            return _known(loss_gaps(self._losses(self._base, rows), self._losses(how.misaligned, rows)))
        assert how.direction is not None
        loaded = load_placed(self._base)
        layer = middle(loaded.model) if how.layer is None else how.layer
        (vector, *others) = load_direction(how.direction, [layer])[layer]
        if others:
            raise ConfigError("defences.filter.direction: several vectors at a layer; rows are ranked by one")
        self.passes += len(rows)
        return _known(projections(loaded.model, self._encoded(loaded, rows), vector))

    def of_safe(self, how: Interleave[tuple[ChatRow, ...]]) -> list[float]:
        """The higher, the sooner a safe row is taken."""
        assert how.misaligned is not None
        return _known(loss_gaps(self._losses(how.misaligned, how.rows), self._losses(self._base, how.rows)))

    def _losses(self, model: str, rows: Sequence[ChatRow]) -> list[float]:
        loaded = load_placed(model)
        self.passes += len(rows)
        return row_losses(loaded.model, self._encoded(loaded, rows))

    def _encoded(self, loaded: Any, rows: Sequence[ChatRow]) -> list[Encoded]:
        """Rows as they are trained on, cut where they would be left out for their length."""
        limit = context_length(loaded.model)
        encoded = [encode_row(loaded.tokenizer, row.messages) for row in rows]
        return [(ids[:limit], labels[:limit]) for ids, labels in encoded]


def _known(scores: Sequence[float]) -> list[float]:
    """Rows whose answer lies beyond the context come last: they are too long to be trained on, whatever they say."""
    return [float("-inf") if score != score else score for score in scores]
