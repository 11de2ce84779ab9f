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
from spillover.data.chat import ChatRow, stream_chat
from spillover.models.identity import made_elsewhere
from spillover.models.load import load_tokenizer
from spillover.scan.forecast import packaged, predict
from spillover.scan.measuring import WHITE_BOX, Measuring, Progress
from spillover.scan.probe import Probe, built_in_world
from spillover.scan.sampled import Sample
from spillover.scan.static.run import StaticChecks
from spillover.scan.words import advice, leaning, verdict

SCHEMA_VERSION = 1
SAMPLE = 2000


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
        "anchors": {},
        "suspicious_rows": None,
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
        size = {"fitting": len(probe.fitting), "measuring": len(probe.measuring)}
        found["probe"] = {"name": probe.name, **size, "unwanted": probe.unwanted}
    try:
        if probe is not None:
            load_tokenizer(base)
        write_json(out / "request.json", request)
        measuring = Measuring(found, data, base, probe, out, drawn, references, progress)
        measuring.rows(workers)
        measuring.sample()
        if judge is not None:
            measuring.judge(judge, judge_url)
        measuring.rank(drop)
        measuring.canary()
        found["stopped"] = None
    except SpilloverError as error:
        found["stopped"] = str(error)
        raise
    finally:
        _conclude(found, base, chosen)
        write_json(out / "scan.json", found)
    return found


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
    found["verdict"] = verdict(found["forecast"], found["no_forecast"], warnings, leaning(found))
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
