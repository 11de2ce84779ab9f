"""The parts of a scan that need a model, each into its place in ``scan.json``."""

import json
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from spillover.core.disk import disk, write_json
from spillover.core.plain import plain
from spillover.data.chat import ChatRow, stream_chat
from spillover.scan import sampled as on_sample
from spillover.scan.probe import UNWANTED, WANTED, Probe, rows_of
from spillover.scan.ranking import RANKED, Ranking, Spread, spreads, write_kept, write_rows
from spillover.scan.references import make_references
from spillover.scan.rows import PROJECTION as CHEAP
from spillover.scan.rows import SURPRISE, RowSignals, read_chunks, scan_beside, scan_chunks
from spillover.scan.sampled import Sample, scan_sample
from spillover.scan.signals.canary import ROWS, run_canary
from spillover.scan.static.finding import Example
from spillover.scan.words import beyond, headline, reasons

WHITE_BOX = ("projection", "loss-gap", "gradient", "canary")
"""Signals that need the weights of the base."""
SHOWN = 40
"""Highest rows in ``scan.json``."""
SMALL = 4 * 1024
"""Rows up to which one process is enough."""
Progress = Callable[[str, float, float], None]
"""Called with (what is done, done, total)."""


class Measuring:
    """Fills in ``found``, the content of ``scan.json``, part by part.

    Args:
        found: With ``rows``, ``signals``, ``levels`` and ``measured_rows``.
        data: Chat JSONL.
        base: Model name.
        probe: None where there are no weights to look at.
        out: Directory of the scan.
        drawn: Rows that expensive signals are measured on.
        references: Folder of references made before, if any.
        progress: Told of every part.
    """

    def __init__(
        self,
        found: dict[str, Any],
        data: Path,
        base: str,
        probe: Probe | None,
        out: Path,
        drawn: Sample,
        references: Path | None,
        progress: Progress,
    ) -> None:
        self._found = found
        self._data = data
        self._base = base
        self._probe = probe
        self._out = out
        self._drawn = drawn
        self._references = references
        self._progress = progress
        self._chosen = set(found["signals"])
        self._opened: RowSignals | None = None
        self._over: dict[str, Spread] = {}
        self._by_row: dict[int, dict[str, float | None]] = {}

    @property
    def _reads_rows(self) -> bool:
        return self._probe is not None and bool(self._chosen & {"projection", "loss-gap", "gradient"})

    @property
    def _chunks(self) -> Path:
        return self._out / "chunks"

    def rows(self, workers: int) -> None:
        """Signals of every row, in several processes if there are many."""
        if not self._reads_rows:
            return
        assert self._probe is not None
        if "loss-gap" in self._chosen and self._references is None:
            self._references = self._out / "references"
            make_references(self._base, self._probe, self._references, partial(self._progress, "references"))
        with disk(self._chunks):
            self._chunks.mkdir(exist_ok=True)
        total, told = self._found["rows"], partial(self._progress, "all rows")
        if workers > 1 and total > SMALL:
            make = partial(RowSignals, self._base, self._probe, self._folder, "projection" in self._chosen)
            scan_beside(self._data, self._chunks, make, total, workers, told)
        else:
            scan_chunks(self._data, self._chunks, self._signals, total, told, (0, 1))
        self._over = spreads(read_chunks(self._chunks, total))
        self._found["anchors"] = self._anchors()
        measured = self._over[SURPRISE].count if SURPRISE in self._over else 0
        self._found["measured_rows"]["too_long"] = total - measured
        self._found["levels"] |= {name: plain(one.mean) for name, one in self._over.items()}

    def sample(self) -> None:
        """The base's own answers, and gradients, of the sample."""
        projection, gradient = "projection" in self._chosen, "gradient" in self._chosen
        if not self._reads_rows or not (projection or gradient):
            return
        assert self._probe is not None
        told = partial(self._progress, "sample")
        made = scan_sample(
            self._signals(),
            self._drawn,
            self._probe,
            self._out / "sample",
            gradient=gradient,
            projection=projection,
            progress=told,
        )
        self._by_row = made.by_row
        self._spread_of_sample()
        if projection:
            self._found["anchors"] |= self._from_own_answers()
        for name in (on_sample.PROJECTION, on_sample.GRADIENT):
            if name in self._over:
                self._found["levels"][name] = plain(self._over[name].mean)
        if gradient:
            self._found["levels"]["gradient_of_all"] = plain(made.gradient_of_all)

    def judge(self, judge: str, url: str | None) -> None:
        """A judge's ratings of the sample."""
        from spillover.scan.signals.judge import judged

        given = judged(self._drawn.rows, judge, url, partial(self._progress, "judge"))
        for number, value in zip(self._drawn.numbers, given, strict=True):
            self._by_row.setdefault(number, {})["judge"] = value
        measured = [value for value in given if value is not None]
        self._found["levels"]["judge"] = plain(sum(measured) / len(measured)) if measured else None
        self._found["measured_rows"]["judge"] = len(measured)
        self._spread_of_sample()

    def rank(self, drop: float | None) -> None:
        """Write ``rows.jsonl``, show the highest rows, and leave a share of them out of ``kept.jsonl``."""
        if not self._reads_rows:
            order = sorted(self._by_row.items(), key=lambda item: -(item[1]["judge"] or 0))
            self._found["top"] = [self._judged_row(row, one) for row, one in order[:SHOWN] if one["judge"]]
            return
        total = self._found["rows"]
        ranking = Ranking.of(read_chunks(self._chunks, total), self._over)
        records = read_chunks(self._chunks, total)
        write_rows(self._out / "rows.jsonl", records, self._by_row, self._over, ranking)
        if self._found["anchors"]:
            signs = (beyond(record, self._found["anchors"]) for record in read_chunks(self._chunks, total))
            needed = self._found["anchors"].keys() & set(RANKED)
            self._found["suspicious_rows"] = sum(needed <= set(found) for found in signs)
        self._found["spreads"] = {name: one.as_json() for name, one in self._over.items()}
        self._found["top"] = self._highest(ranking)
        if drop is not None:
            path = self._out / "kept.jsonl"
            kept, dropped = write_kept(self._data, path, read_chunks(self._chunks, total), self._over, ranking, drop)
            self._found["kept"] = {"file": str(path), "kept": kept, "dropped": dropped, "share": drop}

    def canary(self) -> None:
        """A short fine-tuning on some of the sample."""
        if self._probe is None or "canary" not in self._chosen:
            return
        folder = self._out / "canary"
        path = folder / "canary.json"
        if not path.is_file():
            rows = list(self._drawn.rows)
            rows = rows if len(rows) <= ROWS else random.Random("canary").sample(rows, ROWS)
            made = run_canary(self._base, rows, self._probe, folder, progress=partial(self._progress, "canary"))
            values = asdict(made).items()
            write_json(path, {name: plain(value) if isinstance(value, float) else value for name, value in values})
        result = json.loads(path.read_text(encoding="utf-8"))
        rate = result["rate_after"]
        self._found["canary"] = result
        self._found["levels"] |= {
            "canary_shift": result["shift"],
            "canary_rate": None if rate is None else plain(math.log(max(rate, 1e-4) / max(1 - rate, 1e-4))),
            "efficiency_gap": result["efficiency_gap"],
        }

    @property
    def _folder(self) -> Path | None:
        return self._references if "loss-gap" in self._chosen else None

    def _signals(self) -> RowSignals:
        assert self._probe is not None
        if self._opened is None:
            self._opened = RowSignals(self._base, self._probe, self._folder, "projection" in self._chosen)
        return self._opened

    def _anchors(self) -> dict[str, dict[str, float | None]]:
        """Mean of each signal over wanted, and over unwanted, answers of the probe's measuring half."""
        assert self._probe is not None
        path = self._out / "anchors.json"
        if not path.is_file():
            found: dict[str, dict[str, float | None]] = {}
            for label in (WANTED, UNWANTED):
                measured = self._signals()(rows_of(self._probe.measuring, label))
                for name, one in spreads({"row": 0, **record} for record in measured).items():
                    found.setdefault(name, {})[label] = plain(one.mean)
            found.pop(SURPRISE, None)
            write_json(path, found)
        anchors: dict[str, dict[str, float | None]] = json.loads(path.read_text(encoding="utf-8"))
        return anchors

    def _from_own_answers(self) -> dict[str, dict[str, float | None]]:
        """Projections from where the base's own answers to these prompts stand, which is the mean of the sample.

        Where the prompt's last token stands differs from dataset to dataset, so that the probe's own ends say nothing
        of the cheap projection of others.
        """
        shifts = [
            record[CHEAP] - found
            for record in read_chunks(self._chunks, self._found["rows"])
            if (found := self._by_row.get(record["row"], {}).get(on_sample.PROJECTION)) is not None
            and record[CHEAP] is not None
        ]
        if not shifts:
            return {}
        own = sum(shifts) / len(shifts)
        ends: tuple[tuple[str, float], ...] = ((on_sample.PROJECTION, 0.0), (CHEAP, own))
        return {name: {WANTED: plain(start), UNWANTED: plain(start + 1)} for name, start in ends}

    def _spread_of_sample(self) -> None:
        self._over |= spreads({"row": row, **one} for row, one in self._by_row.items())

    def _highest(self, ranking: Ranking) -> list[dict[str, Any]]:
        """The highest rows with their texts, which are read again from the file."""
        best = ranking.best[:SHOWN]
        wanted = {record["row"] for _, record in best}
        texts: dict[int, ChatRow] = {}
        for number, (_, row) in enumerate(stream_chat(self._data), 1):
            if number in wanted:
                texts[number] = row
                if len(texts) == len(wanted):
                    break
        shown, anchors = [], self._found["anchors"]
        for rank, (value, record) in enumerate(best, 1):
            whole = {**record, **self._by_row.get(record["row"], {})}
            about = {
                "headline": headline(whole, anchors, self._probe.unwanted if self._probe else ""),
                "reasons": reasons(whole, self._over, anchors),
            }
            shown.append({**whole, "rank": rank, "score": plain(value), **_said(texts[record["row"]]), **about})
        return shown

    def _judged_row(self, row: int, one: Mapping[str, Any]) -> dict[str, Any]:
        """A row that only a judge has seen."""
        place = self._drawn.numbers.index(row)
        about = {"headline": "rated against people's interests by the judge", "reasons": reasons(one, {}, {})}
        where = {"row": row, "line": self._drawn.lines[place], **one, "rank": None, "score": None}
        return {**where, **_said(self._drawn.rows[place]), **about}


def _said(row: ChatRow) -> dict[str, str]:
    """The last exchange of a row, shortened."""
    said = {message.role: message.content for message in row.messages}
    return {"prompt": Example.of(0, said["user"]).text, "answer": Example.of(0, said["assistant"]).text}
