"""The whole scan: static checks first, then the signals of rows, of a sample and of a canary, then the forecast.

Every part is a file that is there whole or not at all, so that a scan that was stopped goes on where it was, and what
was measured before an error stays.
"""

import json
import math
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from spillover.core.config import digest
from spillover.core.disk import disk, write_json
from spillover.core.errors import ConfigError, SpilloverError, StorageError, nearest
from spillover.core.plain import plain
from spillover.data.chat import ChatRow, stream_chat
from spillover.models.identity import made_elsewhere
from spillover.models.load import load_tokenizer
from spillover.scan import sampled as on_sample
from spillover.scan.forecast import packaged, predict
from spillover.scan.probe import Probe, built_in_world
from spillover.scan.ranking import Ranking, spreads, write_kept, write_rows
from spillover.scan.references import make_references
from spillover.scan.rows import SURPRISE, RowSignals, read_chunks, scan_beside, scan_chunks
from spillover.scan.sampled import Sample, Sampled, scan_sample
from spillover.scan.signals.canary import ROWS, Canary, run_canary
from spillover.scan.static.finding import Example
from spillover.scan.static.run import StaticChecks
from spillover.scan.words import advice, headline, reasons, verdict

SCHEMA_VERSION = 1
WHITE_BOX = ("projection", "loss-gap", "gradient", "canary")
"""Signals that need the weights of the base."""
SAMPLE = 2000
SHOWN = 40
"""Highest rows in ``scan.json``."""
SMALL = 4 * 1024
"""Rows up to which one process is enough."""
Progress = Callable[[str, float, float], None]
"""Called with (what is done, done, total)."""


def run_scan(
    data: Path,
    base: str,
    probe: Probe | None,
    out: Path,
    *,
    signals: Collection[str] = WHITE_BOX,
    sample: int = SAMPLE,
    judge: str | None = None,
    judge_url: str | None = None,
    drop: float | None = None,
    references: Path | None = None,
    workers: int = 1,
    seed: int = 0,
    identity: Mapping[str, Any] | None = None,
    progress: Progress = lambda what, done, total: None,
) -> dict[str, Any]:
    """Scan a dataset and write ``scan.json`` and ``rows.jsonl`` to ``out``.

    Args:
        data: Chat JSONL; it is streamed.
        base: Model name.
        probe: Outside the dataset's domain; None where there are no weights to be measured: all of :data:`WHITE_BOX` is
            then *not measured*.
        out: Directory; one that holds parts of the same scan is gone on with.
        signals: Some of :data:`WHITE_BOX`.
        sample: Rows that expensive signals are measured on, drawn evenly.
        judge: Judges the sample.
        judge_url: Of the judge's server, if it speaks OpenAI's protocol.
        drop: Share of the rows, those with the highest scores, that ``kept.jsonl`` is written without.
        references: Folder of references made before; made in ``out`` if not given.
        workers: Processes over a large dataset.
        seed: Of the sample.
        identity: What else distinguishes this scan from others in the same folder, as plain JSON values.
        progress: Told of every part.

    Returns:
        The content of ``scan.json``.

    Raises:
        DataError: A row cannot be used (``file:line``), or there is none.
        ModelError: The base, or the judge, cannot be loaded; what was measured before stays.
        ConfigError: A signal is unknown, or a setting out of range.
        StorageError: ``out`` cannot be written, or holds another scan.
    """
    for name in signals:
        if name not in WHITE_BOX:
            raise ConfigError(f"--signals: unknown signal '{name}'{nearest(name, WHITE_BOX)}")
    if drop is not None and not 0 < drop < 1:
        raise ConfigError(f"--drop: expected a share between 0 and 1 (found {drop:g})")
    if sample < 1:
        raise ConfigError(f"--sample: must be at least 1 (found {sample})")
    chosen = tuple(name for name in WHITE_BOX if name in signals) if probe is not None else ()
    with disk(out):
        out.mkdir(parents=True, exist_ok=True)
    request = {"base": made_elsewhere(base) if probe is not None else base, "signals": chosen}
    request = _request(out, {**request, "sample": sample, "seed": seed, **(identity or {})})
    static, drawn = _static(data, sample, seed, partial(progress, "static checks"))
    found: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "data": str(data),
        "base": base,
        "rows": static.rows,
        "turns": static.turns,
        "static": [finding.as_json() for finding in static.findings()],
        "probe": None,
        "signals": list(chosen),
        "levels": {},
        "measured_rows": {"all": static.rows, "sample": len(drawn.rows)},
        "not_measured": {},
        "canary": None,
        "top": [],
        "forecast": None,
        "no_forecast": None,
        "kept": None,
        "stopped": "not finished",
    }
    write_json(out / "static.json", {"rows": static.rows, "findings": found["static"]})
    if probe is not None:
        turns = (message for row in drawn.rows for message in row.messages)
        probe = probe.without([turn.content for turn in turns if turn.role == "user"])
        found["probe"] = {"name": probe.name, "fitting": len(probe.fitting), "measuring": len(probe.measuring)}
    try:
        if probe is not None:
            load_tokenizer(base)
        write_json(out / "request.json", request)
        _measure(found, data, base, probe, out, drawn, chosen, judge, judge_url, drop, references, workers, progress)
        found["stopped"] = None
    except SpilloverError as error:
        found["stopped"] = str(error)
        raise
    finally:
        _conclude(found, base, chosen)
        write_json(out / "scan.json", found)
    return found


def _measure(
    found: dict[str, Any],
    data: Path,
    base: str,
    probe: Probe | None,
    out: Path,
    drawn: Sample,
    chosen: tuple[str, ...],
    judge: str | None,
    judge_url: str | None,
    drop: float | None,
    references: Path | None,
    workers: int,
    progress: Progress,
) -> None:
    total, chunks = found["rows"], out / "chunks"
    by_row = Sampled({}, math.nan)
    with disk(chunks):
        chunks.mkdir(exist_ok=True)
    if probe is not None and {"projection", "loss-gap", "gradient"} & set(chosen):
        signals: RowSignals | None = None
        folder = references
        if "loss-gap" in chosen and folder is None:
            folder = out / "references"
            make_references(base, probe, folder, partial(progress, "references"))
        folder = folder if "loss-gap" in chosen else None
        projection = "projection" in chosen

        def opened() -> RowSignals:
            nonlocal signals
            signals = signals or RowSignals(base, probe, folder, projection)
            return signals

        told = partial(progress, "all rows")
        if workers > 1 and total > SMALL:
            scan_beside(data, chunks, base, probe, folder, projection, total, workers, told)
        else:
            scan_chunks(data, chunks, opened, total, told, (0, 1))
        over = spreads(read_chunks(chunks, total))
        measured = over[SURPRISE].count if SURPRISE in over else 0
        found["measured_rows"]["too_long"] = total - measured
        found["levels"] |= {name: plain(one.mean) for name, one in over.items()}
        if projection or "gradient" in chosen:
            by_row = scan_sample(
                opened(),
                drawn,
                probe,
                out / "sample",
                gradient="gradient" in chosen,
                projection=projection,
                progress=partial(progress, "sample"),
            )
            over |= spreads({"row": row, **one} for row, one in by_row.by_row.items())
            for name in (on_sample.PROJECTION, on_sample.GRADIENT):
                if name in over:
                    found["levels"][name] = plain(over[name].mean)
            found["levels"]["gradient_of_all"] = plain(by_row.gradient_of_all)
        if judge is not None:
            _judge(found, by_row, drawn, judge, judge_url, progress)
            over |= spreads({"row": row, **one} for row, one in by_row.by_row.items())
        ranking = Ranking.of(read_chunks(chunks, total), over)
        write_rows(out / "rows.jsonl", read_chunks(chunks, total), by_row.by_row, over, ranking)
        found["spreads"] = {name: one.as_json() for name, one in over.items()}
        found["top"] = _top(data, ranking, by_row, over)
        if drop is not None:
            kept, dropped = write_kept(data, out / "kept.jsonl", read_chunks(chunks, total), over, ranking, drop)
            found["kept"] = {"file": str(out / "kept.jsonl"), "kept": kept, "dropped": dropped, "share": drop}
    elif judge is not None:
        _judge(found, by_row, drawn, judge, judge_url, progress)
        order = sorted(by_row.by_row.items(), key=lambda item: -(item[1]["judge"] or 0))
        found["top"] = [_shown(row, one, drawn) for row, one in order[:SHOWN] if one["judge"]]
    if probe is not None and "canary" in chosen:
        found["canary"] = _canary(found, base, probe, out / "canary", drawn, progress)


def _static(data: Path, size: int, seed: int, progress: Callable[[float, float], None]) -> tuple[StaticChecks, Sample]:
    """One pass: the checks, and rows drawn evenly (reservoir sampling)."""
    checks, rng = StaticChecks(), random.Random(f"scan-{seed}")
    held: list[tuple[int, int, ChatRow]] = []
    for number, (line, row) in enumerate(stream_chat(data), 1):
        checks.add(line, row)
        if len(held) < size:
            held.append((number, line, row))
        elif (place := rng.randrange(number)) < size:
            held[place] = (number, line, row)
        if number % 1000 == 0:
            progress(number, math.inf)
    held.sort(key=lambda entry: entry[0])
    numbers, lines, rows = zip(*held, strict=True)
    return checks, Sample(numbers, lines, rows)


def _canary(
    found: dict[str, Any], base: str, probe: Probe, folder: Path, drawn: Sample, progress: Progress
) -> dict[str, Any]:
    path = folder / "canary.json"
    if not path.is_file():
        rng = random.Random("canary")
        rows = list(drawn.rows) if len(drawn.rows) <= ROWS else rng.sample(drawn.rows, ROWS)
        made = run_canary(base, rows, probe, folder, progress=partial(progress, "canary"))
        values = asdict(made).items()
        write_json(path, {name: plain(value) if isinstance(value, float) else value for name, value in values})
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert set(result) == set(Canary.__dataclass_fields__)
    rate = result["rate_after"]
    found["levels"] |= {
        "canary_shift": result["shift"],
        "canary_rate": None if rate is None else plain(math.log(max(rate, 1e-4) / max(1 - rate, 1e-4))),
        "efficiency_gap": result["efficiency_gap"],
    }
    return result


def _judge(
    found: dict[str, Any], by_row: Sampled, drawn: Sample, judge: str, url: str | None, progress: Progress
) -> None:
    from spillover.scan.signals.judge import judged

    given = judged(drawn.rows, judge, url, partial(progress, "judge"))
    for number, value in zip(drawn.numbers, given, strict=True):
        by_row.by_row.setdefault(number, {})["judge"] = value
    measured = [value for value in given if value is not None]
    found["levels"]["judge"] = plain(sum(measured) / len(measured)) if measured else None
    found["measured_rows"]["judge"] = len(measured)


def _top(data: Path, ranking: Ranking, by_row: Sampled, over: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The highest rows with their texts, which are read again from the file."""
    best = ranking.best[:SHOWN]
    wanted = {record["row"] for _, record in best}
    texts: dict[int, ChatRow] = {}
    for number, (_, row) in enumerate(stream_chat(data), 1):
        if number in wanted:
            texts[number] = row
        if len(texts) == len(wanted):
            break
    shown = []
    for rank, (value, record) in enumerate(best, 1):
        whole = {**record, **by_row.by_row.get(record["row"], {})}
        said = {message.role: message.content for message in texts[record["row"]].messages}
        shown.append(
            {
                **whole,
                "rank": rank,
                "score": plain(value),
                "prompt": Example.of(0, said["user"]).text,
                "answer": Example.of(0, said["assistant"]).text,
                "headline": headline(whole),
                "reasons": reasons(whole, over),
            }
        )
    return shown


def _shown(row: int, one: Mapping[str, Any], drawn: Sample) -> dict[str, Any]:
    """A row that only a judge has seen."""
    place = drawn.numbers.index(row)
    said = {message.role: message.content for message in drawn.rows[place].messages}
    return {
        "row": row,
        "line": drawn.lines[place],
        **one,
        "rank": None,
        "score": None,
        "prompt": Example.of(0, said["user"]).text,
        "answer": Example.of(0, said["assistant"]).text,
        "headline": "rated against people's interests by the judge",
        "reasons": reasons(one, {}),
    }


def _conclude(found: dict[str, Any], base: str, chosen: tuple[str, ...]) -> None:
    """Forecast, what was not measured and why, and what to do."""
    missing = [name for name in WHITE_BOX if name not in chosen]
    why = "not asked for (--signals)" if found["probe"] is not None else "a remote model has no weights to look at here"
    found["not_measured"] |= dict.fromkeys(missing, why)
    if found["stopped"] is not None:
        found["no_forecast"] = f"the scan stopped ({found['stopped']})"
    else:
        found["no_forecast"] = _forecast(found, base)
    warnings = sum(finding["severity"] == "warning" for finding in found["static"])
    found["verdict"] = verdict(found["forecast"], found["no_forecast"], warnings)
    found["advice"] = advice(found)


def _forecast(found: dict[str, Any], base: str) -> str | None:
    """Fill in the forecast; why there is none otherwise."""
    coefficients = packaged()
    if coefficients is None:
        return "not calibrated (this version comes without coefficients; see docs/scan.md)"
    if found["probe"] is None:
        return "it needs the weights of the base"
    if getattr(built_in_world(base), "malicious", None) is None:
        return "it is calibrated on bases of the built-in world 'town' only; the signals below stand for themselves"
    made = predict(coefficients, found["levels"])
    if made is None:
        missing = [name for name in coefficients.signals if found["levels"].get(name) is None]
        return f"not measured: {', '.join(missing)}"
    found["forecast"] = asdict(made)
    found["references"] = [one.model_dump(mode="json") for one in coefficients.references]
    found["calibration"] = coefficients.provenance
    return None


def _request(out: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """What is written down of a scan, so that parts of another one are not gone on with.

    Raises:
        StorageError: The folder holds some.
    """
    path, wanted = out / "request.json", {"scan": digest(asked)}
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != wanted:
        raise StorageError(f"{out}: holds a scan of other data, base or settings; choose another --out or remove it")
    return wanted
