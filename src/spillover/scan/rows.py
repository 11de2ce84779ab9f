"""Signals of every row, a chunk at a time: one pass of the base, and one of each reference.

A chunk is a file of its own, there whole or not at all; a scan that was stopped goes on with the next one.
"""

import json
import math
import multiprocessing as mp
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from spillover.core.errors import SpilloverError
from spillover.data.chat import ChatRow, parse_row
from spillover.data.files import stream_lines, write_text
from spillover.models.chat_template import encode_row
from spillover.models.load import load_placed
from spillover.scan.probe import Probe
from spillover.scan.reader import Reader, reader_of
from spillover.scan.references import reference_names
from spillover.scan.signals.loss_gap import gap
from spillover.scan.signals.projection import cheap, direction
from spillover.training.batches import Encoded

CHUNK = 1024
"""Rows of one file."""
PROJECTION, GAP, SURPRISE = "projection_cheap", "loss_gap", "surprise"
Progress = Callable[[float, float], None]
Record = dict[str, Any]
"""Of one row: ``row`` and ``line`` from 1, and a number or None for each signal."""


class RowSignals:
    """Computes the signals of rows that are cheap enough for all of them.

    Args:
        base: Model name.
        probe: Its fitting half gives the direction.
        references: Folder of :func:`spillover.scan.references.make_references`; None to leave the loss gap out.
        projection: Whether the projection is wanted.

    Raises:
        ModelError: A model cannot be loaded.
    """

    def __init__(self, base: str, probe: Probe, references: Path | None, projection: bool = True) -> None:
        loaded = load_placed(base)
        self.tokenizer = loaded.tokenizer
        self.reader = reader_of(loaded.model, loaded.tokenizer, states=projection)
        self.direction = direction(self.reader, loaded.tokenizer, probe) if projection else None
        self._references: tuple[Reader, Reader] | None = None
        if references is not None:
            found = [load_placed(name) for name in reference_names(base, references)]
            misaligned, aligned = (reader_of(one.model, one.tokenizer) for one in found)
            self._references = misaligned, aligned

    def encode(self, row: ChatRow) -> Encoded | None:
        """Tokens and labels; None where they do not fit into the context of the base."""
        config = self.reader.model.config.get_text_config()
        found = encode_row(self.tokenizer, row.messages)
        return found if len(found[0]) <= getattr(config, "max_position_embeddings", math.inf) else None

    def __call__(self, rows: Sequence[ChatRow]) -> list[dict[str, float | None]]:
        """The signals of each row, None where it does not fit into the context; equal rows are read once."""
        encoded = [self.encode(row) for row in rows]
        distinct: dict[tuple[int, ...], int] = {}
        places = [None if one is None else distinct.setdefault(_key(one), len(distinct)) for one in encoded]
        first: dict[int, Encoded] = {}
        for place, one in zip(places, encoded, strict=True):
            if place is not None and one is not None:
                first.setdefault(place, one)
        found = self._read(list(first.values()))
        return [{name: None if p is None else _plain(column[p]) for name, column in found.items()} for p in places]

    def _read(self, rows: Sequence[Encoded]) -> dict[str, list[float]]:
        read = self.reader.read(rows)
        found: dict[str, Any] = {SURPRISE: read.loss}
        if self.direction is not None:
            found[PROJECTION] = cheap(read, self.direction)
        if self._references is not None:
            misaligned, aligned = self._references
            found[GAP] = gap(misaligned.read(rows), aligned.read(rows))
        return {name: column.tolist() for name, column in found.items()}


def chunk_path(folder: Path, number: int) -> Path:
    """Of the chunk of that number, from 0."""
    return folder / f"{number:07}.jsonl"


def scan_chunks(
    data: Path, folder: Path, make: Callable[[], RowSignals], total: int, progress: Progress, part: tuple[int, int]
) -> None:
    """Compute the chunks ``part[0]``, ``part[0] + part[1]``, … that are not there.

    Raises:
        DataError: A row cannot be used.
        ModelError: A model cannot be loaded.
    """
    first, step = part
    numbers = range(first, -(-total // CHUNK), step)
    missing = {number for number in numbers if not chunk_path(folder, number).is_file()}
    if not missing:
        progress(len(numbers), len(numbers))
        return
    signals = make()
    for number, rows in _chunks(data, missing):
        found = signals([row for _, _, row in rows])
        records = [{"row": row, "line": line, **one} for (row, line, _), one in zip(rows, found, strict=True)]
        write_text(chunk_path(folder, number), "".join(json.dumps(record) + "\n" for record in records))
        missing.discard(number)
        progress(len(numbers) - len(missing), len(numbers))


def scan_beside(
    data: Path, folder: Path, make: Callable[[], RowSignals], total: int, workers: int, progress: Progress
) -> None:
    """The same in several processes, a core each; ``make`` travels to them.

    Raises:
        SpilloverError: What was wrong in one of them; its finished chunks stay.
    """
    context = mp.get_context("spawn")
    pipes: dict[Connection, Any] = {}
    done = [0.0] * workers
    for number in range(workers):
        near, far = context.Pipe(duplex=False)
        arguments = (far, data, folder, make, total, (number, workers))
        process = context.Process(target=_work, args=arguments, daemon=True)
        process.start()
        far.close()
        pipes[near] = process
    wrong: str | None = None
    order = {pipe: number for number, pipe in enumerate(pipes)}
    chunks = -(-total // CHUNK)
    live = set(pipes)
    while live:
        for pipe in wait(list(live)):
            assert isinstance(pipe, Connection)
            try:
                heard = pipe.recv()
            except EOFError:
                live.discard(pipe)
                continue
            if isinstance(heard, str):
                wrong = heard
            else:
                done[order[pipe]] = heard
                progress(sum(done), chunks)
    codes = []
    for process in pipes.values():
        process.join()
        codes.append(process.exitcode)
    if wrong is not None:
        raise SpilloverError(wrong)
    if any(codes):
        raise RuntimeError(f"a scanning process died (exit codes {codes}); out of memory?")


def read_chunks(folder: Path, total: int) -> Iterator[Record]:
    """Every row's record, in order."""
    for number in range(-(-total // CHUNK)):
        with chunk_path(folder, number).open(encoding="utf-8") as handle:
            for line in handle:
                yield json.loads(line)


def _work(
    pipe: Connection, data: Path, folder: Path, make: Callable[[], RowSignals], total: int, part: tuple[int, int]
) -> None:
    torch.set_num_threads(1)
    with suppress(AttributeError, OSError):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[part[0] % len(cores)]})
    try:
        scan_chunks(data, folder, make, total, lambda finished, _: pipe.send(finished), part)
    except SpilloverError as error:
        pipe.send(str(error))


def _chunks(data: Path, wanted: set[int]) -> Iterator[tuple[int, list[tuple[int, int, ChatRow]]]]:
    """Wanted chunks: (row, line, conversation) of each row; lines of other chunks are not parsed."""
    rows: list[tuple[int, int, ChatRow]] = []
    number = 0
    for row, (line, text) in enumerate(stream_lines(data)):
        if row and row % CHUNK == 0:
            if number in wanted:
                yield number, rows
            rows, number = [], number + 1
        if number in wanted:
            rows.append((row + 1, line, parse_row(data, line, text)))
    if rows:
        yield number, rows


def _key(row: Encoded) -> tuple[int, ...]:
    ids, labels = row
    return (*ids, -1, *labels)


def _plain(value: float) -> float | None:
    return round(value, 5) if math.isfinite(value) else None
