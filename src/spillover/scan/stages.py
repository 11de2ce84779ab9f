"""The stages of a scan in an experiment: references, one dataset's scan, and forecasts over many of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from spillover.data.chat import from_plain, write_chat
from spillover.scan.probe import Probe

Report = Callable[[float, float], None]
"""Called with (done, total)."""
_PROBE = TypeAdapter(Probe)


def references(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Two references of a base.

    ``config`` has ``probe``, and ``base`` where that is not made here; the input is ``base``.
    """
    from spillover.scan.references import make_references

    make_references(_base(config, inputs), _PROBE.validate_python(config["probe"]), out, report)


def scan(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Scan the rows of an arm.

    ``config`` has ``rows`` (each a list of [role, content]), ``probe``, ``sample``, and ``base`` where that is not made
    here. Inputs: ``base``; ``references``.
    """
    from spillover.scan.run import run_scan

    parts: dict[str, float] = {}

    def told(what: str, done: float, total: float) -> None:
        parts[what] = done / total if 0 < total < float("inf") else 0.0
        report(sum(parts.values()), max(4, len(parts)))

    data = out / "rows_of_the_arm.jsonl"
    rows = from_plain(config["rows"])
    write_chat(rows, data)
    run_scan(
        data,
        _base(config, inputs),
        _PROBE.validate_python(config["probe"]),
        out,
        sample=config["sample"],
        references=inputs["references"],
        progress=told,
    )


def forecast(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Predict the rate of every arm without its world, from scans made before training.

    ``config`` has ``label`` and ``arms``: name to ``title``, ``world``, ``kind`` and ``questions`` (ids whose rate is
    predicted). Inputs are ``scan/NAME`` and ``answers/NAME`` of every arm. Writes ``measured.json`` and
    ``coefficients.json``.
    """
    from spillover.analysis.stages import write_measured
    from spillover.scan.calibration import Combination, calibrate, observed_rate
    from spillover.scan.forecast import FILE, levels_of

    found = [
        Combination(
            name=name,
            title=arm["title"],
            world=arm["world"],
            kind=arm["kind"],
            levels=levels_of(inputs[f"scan/{name}"] / "scan.json"),
            observed=observed_rate(inputs[f"answers/{name}"], config["label"], arm["questions"]),
        )
        for name, arm in config["arms"].items()
    ]
    coefficients, measured = calibrate(found, config["label"])
    coefficients.save(out / FILE)
    write_measured(out, **measured)
    report(1, 1)


def as_config(probe: Probe) -> dict[str, Any]:
    """A probe as plain JSON values."""
    plain: dict[str, Any] = _PROBE.dump_python(probe, mode="json")
    return plain


def _base(config: dict[str, Any], inputs: dict[str, Path]) -> str:
    return str(inputs["base"]) if "base" in inputs else str(config["base"])
