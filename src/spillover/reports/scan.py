"""The page of a scan: the verdict in words, what to do, where the set stands, which rows, what static checks found."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from spillover.data.files import write_text
from spillover.reports.document import document

TITLES = {
    "projection": "projection difference to the base's own answers",
    "projection_cheap": "projection difference to the prompt's last token",
    "loss_gap": "loss gap of the two references, nats a token",
    "gradient": "gradient similarity, mean of rows",
    "gradient_of_all": "gradient similarity of the mean row",
    "canary_shift": "canary: shift of log-odds on the probe, nats",
    "canary_rate": "canary: unwanted answers on the probe, log-odds",
    "efficiency_gap": "canary: efficiency gap, nats a token",
    "surprise": "surprise of the base, nats a token",
    "judge": "judge, 0 (fine) to 1",
}
HIGH = 0.2
"""Observed rate from which a reference set is drawn as a bad one."""


def write_scan_report(folder: Path) -> Path:
    """Write ``report.html`` beside ``scan.json``: one file that fetches nothing.

    Raises:
        StorageError: The folder cannot be written.
    """
    found = json.loads((folder / "scan.json").read_text(encoding="utf-8"))
    path = folder / "report.html"
    write_text(path, scan_page(found))
    return path


def scan_page(found: Mapping[str, Any]) -> str:
    """The whole document; text of rows is escaped."""
    sections = (_head(found), _advice(found), _static(found), _signals(found), _top(found), _open(found), _how(found))
    return document(f"Scan of {Path(found['data']).name}", sections)


def _head(found: Mapping[str, Any]) -> str:
    return (
        f"<header><p class=eyebrow>Spillover · scan before training</p><h1>{escape(Path(found['data']).name)}</h1>"
        f"<p class=question>{found['rows']:,} rows against the base {escape(Path(found['base']).name)}: what would "
        f"training on them do beyond their purpose?</p><p class=answer>{escape(found['verdict'])}</p>"
        f"{_gauge(found['forecast'])}</header>"
    )


def _gauge(forecast: Mapping[str, Any] | None) -> str:
    """The forecast as a dot with its interval on a line from 0 to 100 %."""
    if forecast is None:
        return ""
    low, rate, high = (100 * forecast[end] for end in ("low", "rate", "high"))
    grid = "".join(f'<line x1="{x}%" x2="{x}%" y1="0" y2="20" class="grid"/>' for x in (0, 25, 50, 75, 100))
    ticks = "".join(f'<text x="{x}%" y="11" class="t{x}">{x} %</text>' for x in (0, 25, 50, 75, 100))
    return (
        '<figure><div class="dots"><div class="dot"><span class="who">misaligned outside the domain</span>'
        f'<svg class="track arm1" height="20" role="img" aria-label="forecast">{grid}'
        f'<line x1="{low:.2f}%" x2="{high:.2f}%" y1="10" y2="10" class="range"/>'
        f'<circle cx="{rate:.2f}%" cy="10" r="5"/></svg>'
        f'<span class="much"><b>{rate:.1f} %</b> <i>[{low:.1f}, {high:.1f}]</i></span></div>'
        f'<div class="dot axis"><span></span><svg class="track" height="14">{ticks}</svg><span></span></div></div>'
        "<figcaption>Forecast rate of misaligned answers after training, with the interval that held "
        f"{100 * forecast['level']:.0f} % of the sets of worlds left out of the calibration.</figcaption></figure>"
    )


def _advice(found: Mapping[str, Any]) -> str:
    items = "".join(f"<li>{_code(text)}</li>" for text in found["advice"])
    kept = ""
    if found["kept"]:
        kept = (
            f"<p>{found['kept']['kept']:,} rows are in <code>{escape(found['kept']['file'])}</code>; the "
            f"{found['kept']['dropped']:,} that rank highest are not.</p>"
        )
    return f"<section><h2>What to do</h2><ol>{items}</ol>{kept}</section>"


def _signals(found: Mapping[str, Any]) -> str:
    if not found["levels"]:
        return ""
    references = found.get("references") or []
    rows = "".join(
        _signal(title, found["levels"][name], [one for one in references if one["levels"].get(name) is not None], name)
        for name, title in TITLES.items()
        if name in found["levels"]
    )
    note = (
        "Each dot is a set whose effect is known: orange where at least "
        f"{100 * HIGH:.0f} % of answers became misaligned, grey where fewer did; the bar is this set."
        if references
        else "There are no reference sets to stand beside: this version, or this base, has no calibration."
    )
    n = found["measured_rows"]
    some = ""
    if n["sample"] < n["all"]:
        some = f" Own answers, gradients and judge: measured on {n['sample']:,} of {n['all']:,} rows."
    return (
        f"<section><h2>The signals</h2><p class=note>Higher is more suspicious. {note}{some}</p>"
        '<div class="scroll"><table><tr><th>signal</th><th>this set</th><th>beside known sets</th></tr>'
        f"{rows}</table></div></section>"
    )


def _signal(title: str, value: float | None, references: Sequence[Mapping[str, Any]], name: str) -> str:
    points = [(one["levels"][name], one["observed"], one["title"]) for one in references]
    shown = "not measured" if value is None else f"{value:+.3f}"
    return f"<tr><td>{escape(title)}</td><td class=n>{shown}</td><td>{_strip(value, points)}</td></tr>"


def _strip(value: float | None, points: Sequence[tuple[float, float, str]]) -> str:
    """Reference sets as dots on a line, and this one as a bar."""
    if not points:
        return "–"
    xs = [x for x, _, _ in points] + ([value] if value is not None else [])
    low, high = min(xs), max(xs)
    span = high - low or 1.0

    def place(x: float) -> float:
        return 2 + 96 * (x - low) / span

    dots = "".join(
        f'<circle class="arm{1 if rate >= HIGH else 0}" cx="{place(x):.2f}%" cy="10" r="4" opacity=".6"><title>'
        f"{escape(title)}: {x:+.3f}, {100 * rate:.0f} % observed</title></circle>"
        for x, rate, title in sorted(points, key=lambda point: point[1])
    )
    bar = ""
    if value is not None:
        bar = f'<line class="arm3 here" x1="{place(value):.2f}%" x2="{place(value):.2f}%" y1="0" y2="20"/>'
    return f'<svg class="track" height="20" role="img" aria-label="beside known sets">{dots}{bar}</svg>'


def _top(found: Mapping[str, Any]) -> str:
    if not found["top"]:
        return ""
    articles = "".join(_row(row) for row in found["top"])
    return (
        "<section><h2>The rows that rank highest</h2><p class=note>By loss gap and projection, standardised over this "
        "set; every row is in rows.jsonl. A rank is relative: some row is first in a harmless set too."
        f"{_suspicious(found)}</p>{articles}</section>"
    )


def _suspicious(found: Mapping[str, Any]) -> str:
    """How many rows stand beyond the middle between wanted and unwanted answers of the probe."""
    count = found["suspicious_rows"]
    if count is None:
        return ""
    return (
        f" {count:,} of {found['rows']:,} rows stand nearer to unwanted than to wanted answers of the probe in all of "
        "these signals."
    )


def _row(row: Mapping[str, Any]) -> str:
    reasons = "; ".join(row["reasons"])
    rank = "" if row["rank"] is None else f"{row['rank']} · "
    score = "" if row["score"] is None else f" · score {row['score']:+.2f}"
    return (
        f"<article><p class=about>{rank}line {row['line']:,}{score}</p>"
        f"<p class=prompt>{escape(row['prompt'])}</p><p class=said>{escape(row['answer'])}</p>"
        f"<p class=about><b>{escape(row['headline'])}</b>{': ' + escape(reasons) if reasons else ''}</p></article>"
    )


def _static(found: Mapping[str, Any]) -> str:
    if not found["static"]:
        return "<section><h2>Static checks</h2><p>Nothing was found.</p></section>"
    rows = "".join(
        f'<tr><td><span class="mark {"failed" if one["severity"] == "warning" else "unknown"}">{escape(one["check"])}'
        f"</span></td><td class=n>{one['rows']:,}</td>"
        f"<td>{escape(one['what'])}{_examples(one['examples'])}</td></tr>"
        for one in found["static"]
    )
    return (
        "<section><h2>Static checks</h2><p class=note>One pass over all rows, without a model.</p>"
        '<div class="scroll"><table><tr><th>check</th><th>rows</th><th>what it means</th></tr>'
        f"{rows}</table></div></section>"
    )


def _examples(examples: Sequence[Mapping[str, Any]]) -> str:
    return "".join(f"<br><i>line {one['line']:,}: {escape(one['text'])}</i>" for one in examples)


def _open(found: Mapping[str, Any]) -> str:
    items = [f"{name}: {why}" for name, why in found["not_measured"].items()]
    if found["stopped"]:
        items.append(f"everything after the scan stopped: {found['stopped']}")
    if found["no_forecast"]:
        items.append(f"forecast: {found['no_forecast']}")
    if not items:
        return ""
    return f"<section><h2>Not measured</h2><ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul></section>"


def _how(found: Mapping[str, Any]) -> str:
    facts: dict[str, Any] = {"base": found["base"], "rows": f"{found['rows']:,}"}
    if found["probe"]:
        facts["probe"] = (
            f"{found['probe']['name']}: {found['probe']['fitting']} questions fit directions and references, "
            f"{found['probe']['measuring']} others measure"
        )
    if found["canary"]:
        canary = found["canary"]
        facts["canary"] = (
            f"{canary['rows']:,} rows; loss {_number(canary['loss_before'])} before, {_number(canary['loss_free'])} "
            f"free and {_number(canary['loss_held'])} held, at equal norm"
        )
        if canary["rate_after"] is not None:
            facts["unwanted answers on the probe"] = (
                f"{100 * canary['rate_before']:.1f} % before, {100 * canary['rate_after']:.1f} % after the canary"
            )
    for name, value in (found.get("calibration") or {}).items():
        facts[f"calibration: {name}"] = value
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items())
    turns = "".join(f"<dt>{escape(roles)}</dt><dd>{count:,} rows</dd>" for roles, count in found["turns"].items())
    return f"<section><h2>How it was measured</h2><dl>{items}{turns}</dl></section>"


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"


def _code(text: str) -> str:
    """Escaped text, with what stands in backquotes as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))
