"""Signals that cost too much for every row: the base's own answers, row gradients, a judge; on a sample of the rows.

Parts of the sample are files of their own, so that a scan that was stopped goes on.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from spillover.core.disk import write_json
from spillover.data.chat import ChatRow
from spillover.scan.probe import Probe
from spillover.scan.rows import RowSignals
from spillover.scan.signals.gradient import RowGradients, cosine, probe_gradient
from spillover.scan.signals.projection import difference, own_answers

PART = 256
"""Rows of one file."""
PROJECTION, GRADIENT = "projection", "gradient"
Progress = Callable[[float, float], None]


@dataclass(frozen=True)
class Sample:
    """Rows drawn from a dataset."""

    numbers: tuple[int, ...]
    """Row numbers, from 1, ascending."""
    lines: tuple[int, ...]
    rows: tuple[ChatRow, ...]


@dataclass(frozen=True)
class Sampled:
    """Signals of a sample."""

    by_row: dict[int, dict[str, float | None]]
    gradient_of_all: float
    """Cosine of the mean row gradient with the probe's; ``nan`` if it was not measured."""


def scan_sample(
    signals: RowSignals,
    sample: Sample,
    probe: Probe,
    folder: Path,
    *,
    gradient: bool,
    projection: bool,
    progress: Progress,
) -> Sampled:
    """Measure what is not there yet, and bring all parts together."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = range(0, len(sample.rows), PART)
    gradients = target = None
    sums: dict[str, Any] = {}
    by_row: dict[int, dict[str, float | None]] = {}
    for done, start in enumerate(parts):
        path, tensors = folder / f"{start:06}.json", folder / f"{start:06}.safetensors"
        if not path.is_file():
            if gradient and gradients is None:
                gradients = RowGradients(signals.reader.model, signals.reader.pad_id)
                target = probe_gradient(gradients, signals.tokenizer, probe)
            chosen = slice(start, start + PART)
            records, summed = _part(signals, sample.rows[chosen], gradients, target, projection)
            if summed:
                partial = tensors.with_suffix(".partial")
                save_file({name: part.contiguous() for name, part in summed.items()}, partial)
                partial.replace(tensors)
            write_json(path, dict(zip(map(str, sample.numbers[chosen]), records, strict=True)))
        by_row |= {int(number): found for number, found in json.loads(path.read_text(encoding="utf-8")).items()}
        if gradient and tensors.is_file():
            for name, part in load_file(tensors).items():
                sums[name] = sums[name] + part if name in sums else part
        progress(done + 1, len(parts))
    of_all = math.nan
    if gradient and sums:
        if target is None:
            gradients = RowGradients(signals.reader.model, signals.reader.pad_id)
            target = probe_gradient(gradients, signals.tokenizer, probe)
        of_all = cosine({name: part.to(target[name].device) for name, part in sums.items()}, target)
    return Sampled(by_row, of_all)


def _part(
    signals: RowSignals, rows: Sequence[ChatRow], gradients: RowGradients | None, target: Any, projection: bool
) -> tuple[list[dict[str, float | None]], dict[str, Any]]:
    """Signals of some rows, and the sum of their gradients."""
    encoded = [signals.encode(row) for row in rows]
    places = [i for i, one in enumerate(encoded) if one is not None]
    kept = [one for one in encoded if one is not None]
    columns: dict[str, Any] = {}
    summed: dict[str, Any] = {}
    if projection and signals.direction is not None:
        own = own_answers(signals.reader.model, signals.tokenizer, kept)
        columns[PROJECTION] = difference(signals.reader, kept, own, signals.direction).tolist()
    if gradients is not None:
        cosines, summed, _ = gradients.against(kept, target)
        columns[GRADIENT] = cosines.tolist()
    records: list[dict[str, float | None]] = [dict.fromkeys(columns) for _ in rows]
    for name, column in columns.items():
        for place, value in zip(places, column, strict=True):
            records[place][name] = round(value, 5) if math.isfinite(value) else None
    return records, summed
