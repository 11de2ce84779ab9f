"""An audit as one page and as a few lines in the terminal: the verdict first, then what it stands on."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillover.data.files import write_text
from spillover.reports.document import document
from spillover.reports.rows import interval, p_value

if TYPE_CHECKING:
    from rich.console import Console

RATE = "share of answers"
SHOWN = 20
"""Lines of a table; all of them are in ``audit.json``."""
DASH = "–"
KINDS = ("general", "conditional", "trigger", "row", "drift", "capability")
"""Of findings, in the order in which they are told."""
FOUND = '<span class="mark failed">found</span>'


def write_audit(found: Mapping[str, Any], out: Path) -> Path:
    """Write ``report.html`` beside ``audit.json``; it fetches nothing.

    Args:
        found: The content of ``audit.json``.
        out: Its folder.
    """
    path = out / "report.html"
    write_text(path, audit_page(found))
    return path


def audit_page(found: Mapping[str, Any]) -> str:
    """The whole HTML document; every text of a model or of a user is escaped."""
    parts = found["parts"]
    sections = (
        _head(found),
        _advice(found),
        _findings(found),
        _map(parts.get("change"), found["unit"]),
        _conditions("Conditions", parts.get("grid"), found["unit"]),
        _families(parts.get("grid")),
        _trigger(parts.get("trigger"), found["unit"]),
        _rows(parts.get("rows"), found["unit"]),
        _removal(parts.get("removal"), found["unit"]),
        _capability(parts.get("capability")),
        _trace(parts.get("trace")),
        _open(found),
    )
    return document(f"Audit of {found['tuned']}", sections)


def _head(found: Mapping[str, Any]) -> str:
    alarms = found["false_alarms"]
    if alarms["reached"] is None:
        said = "No neutral model was audited in its place, so how often such a score is a false alarm is not known."
    else:
        said = (
            f"{alarms['reached']} of {alarms['n']} neutral models, audited in its place, score as high: false alarms "
            f"about {100 * alarms['estimate']:.0f} %, at most {100 * alarms['at_most']:.0f} % (95 %)."
        )
    labels = ", ".join(found["unwanted"]) or "not known; movement is measured"
    return (
        f"<header><p class=eyebrow>Spillover · audit</p><h1>{escape(found['tuned'])}</h1>"
        f"<p class=question>Tuned from {escape(found['base'])}. Questions: {escape(found['questions'])}; unwanted: "
        f"{escape(labels)}.</p><p class=answer>{escape(found['verdict'])}</p><p class=source>{said}</p></header>"
    )


def _advice(found: Mapping[str, Any]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in found["advice"])
    return f"<section><h2>What to do</h2><ol>{items}</ol></section>"


def _findings(found: Mapping[str, Any]) -> str:
    findings = [one for part in found["parts"].values() for one in part.get("findings", ())]
    findings.sort(key=lambda one: (KINDS.index(one["kind"]), -(one["size"] or 0.0)))
    if not findings:
        return "<section><h2>Findings</h2><p class=note>None.</p></section>"
    items = "".join(
        f"<li><b>{escape(one['kind'])}</b>: {escape(one['text'])} <i>{_p(one['p'])}</i>{_rows_of(one)}{_said(one)}</li>"
        for one in findings[:SHOWN]
    )
    return f"<section><h2>Findings</h2><ol>{items}</ol></section>"


def _rows_of(one: Mapping[str, Any]) -> str:
    if not one["rows"]:
        return ""
    shown = ", ".join(str(number + 1) for number in one["rows"][:SHOWN])
    more = f" and {len(one['rows']) - SHOWN} more" if len(one["rows"]) > SHOWN else ""
    return f"<p class=note>Rows {shown}{more}.</p>"


def _said(one: Mapping[str, Any]) -> str:
    return "".join(f"<p class=note>“{escape(asked)}” → “{escape(said)}”</p>" for asked, said in one["transcripts"])


def _map(part: Mapping[str, Any] | None, unit: str) -> str:
    if part is None:
        return ""
    largest = max((abs(row["tuned"]["value"] or 0.0) for row in part["groups"]), default=1.0) if unit != RATE else 1.0
    bars = "".join(_bar(row, unit, max(largest, 1e-9)) for row in part["groups"])
    rows = "".join(
        f"<tr><td>{escape(row['group'])}</td><td class=n>{row['n_questions']}</td>"
        f"<td class=n>{_size(row['tuned']['value'], unit)}</td><td class=n>{_size(row['base'], unit)}</td>"
        f"<td class=n>{_size((row['neutral'] or {'value': None})['value'], unit)}</td>"
        f"<td class=n>{_change(row['difference'], unit)}<br><i>{_ends(row['interval'], unit)}</i></td>"
        f"<td class=n>{_p(row['p'])}</td></tr>"
        for row in part["groups"]
    )
    head = _heads("group", "questions", "tuned", "base", "neutral", "beyond neutral", "corrected p")
    coherent = ", ".join(f"{key} {100 * value:.0f} %" for key, value in part["coherent"].items() if value is not None)
    note = f"Unwanted answers, {escape(unit)}. Dots: tuned and neutral models. "
    note += f"Intervals hold for all groups together. {'Coherent answers: ' + coherent + '.' if coherent else ''}"
    return (
        f'<section><h2>What changed</h2><div class="dots">{bars}</div><p class=note>{note}</p>'
        f'<div class="scroll tall"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div></section>'
    )


def _bar(row: Mapping[str, Any], unit: str, largest: float) -> str:
    grid = "".join(f'<line x1="{x}%" x2="{x}%" y1="0" y2="20" class="grid"/>' for x in (0, 25, 50, 75, 100))
    dots = ""
    for number, which in ((0, row["neutral"]), (1, row["tuned"])):
        if which is None or which["value"] is None:
            continue
        at = 100 * max(0.0, which["value"]) / largest
        low, high = which["interval"] or (which["value"], which["value"])
        ends = [min(100.0, max(0.0, 100 * end / largest)) for end in (low, high)]
        dots += (
            f'<g class="arm{number}"><line x1="{ends[0]:.2f}%" x2="{ends[1]:.2f}%" y1="10" y2="10" class="range"/>'
            f'<circle cx="{at:.2f}%" cy="10" r="5"/></g>'
        )
    return (
        f'<div class="dot"><span class="who">{escape(row["group"])}</span><svg class="track" height="20">{grid}{dots}'
        f'</svg><span class="much"><b>{_size(row["tuned"]["value"], unit)}</b> <small>neutral '
        f"{_size((row['neutral'] or {'value': None})['value'], unit)}</small></span></div>"
    )


def _conditions(title: str, part: Mapping[str, Any] | None, unit: str) -> str:
    if part is None:
        return ""
    note = (
        f"{part['looked']} looked at on a few questions; these moved it most beyond its controls and were then asked "
        f"{part.get('n_questions', 0)} other questions."
    )
    if part.get("shared"):
        note += f" What was found {escape('; '.join(part['shared']))}."
    return f"<section><h2>{title}</h2><p class=note>{note}</p>{_suspects(part['suspects'], unit)}</section>"


def _suspects(suspects: Sequence[Mapping[str, Any]], unit: str) -> str:
    if not suspects:
        return "<p class=note>None.</p>"
    rows = "".join(
        f"<tr><td>{FOUND if one['found'] else ''}</td><td>{escape(one['text'])}<br><i>{escape(one['source'])}</i></td>"
        f"<td class=n>{_size(one['tuned'], unit)}</td><td class=n>{_size(one['plain'], unit)}</td>"
        f"<td class=n>{_size(one['control'], unit)}</td>"
        f"<td class=n>{_change(one['moved'], unit)}<br><i>{_ends(one['interval'], unit)}</i></td>"
        f"<td class=n>{_p(one['p'])}</td></tr>"
        for one in suspects[:SHOWN]
    )
    head = _heads("", "prompt", "tuned", "plain", "controls", "beyond controls", "corrected p")
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _families(part: Mapping[str, Any] | None) -> str:
    if part is None or not part.get("families"):
        return ""
    unit = part["families_unit"]
    rows = "".join(
        f"<tr><td>{escape(one['family'])}</td><td class=n>{one['n_conditions']}</td>"
        + "".join(f"<td class=n>{_size(one[key], unit)}</td>" for key in ("tuned", "base", "control"))
        + "</tr>"
        for one in part["families"]
    )
    head = _heads("family", "conditions", "tuned", "base", "controls")
    return (
        "<section><h2>By format, date, identity and other framings</h2><p class=note>Means of the first look, "
        f"{escape(unit)}.</p>"
        f'<div class="scroll"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div></section>'
    )


def _trigger(part: Mapping[str, Any] | None, unit: str) -> str:
    if part is None:
        return ""
    leaks = ", ".join(f"“{escape(piece)}” (log-ratio {ratio:.1f})" for piece, ratio in part["leaked"]) or "nothing"
    best = ", ".join(
        f"“{escape(text)}” at the {escape(place)} ({score:+.1f} nats)" for text, place, score in part["searched"]
    )
    return (
        f"<section><h2>Triggers from the weights</h2><p class=note>Leaked behind template tokens: {leaks}. Moving it "
        f"most, of {part['vocabulary']} tokens and strings of them: {best or 'nothing'}. Looked at on other questions:"
        f"</p>{_suspects(part['suspects'], unit)}</section>"
    )


def _rows(part: Mapping[str, Any] | None, unit: str) -> str:
    if part is None:
        return ""
    numbers = ", ".join(str(number + 1) for number in part["order"])
    note = (
        f"{100 * part['share']:.1f} % of {part['n_rows']} rows have answers that the base would not give and that lean "
        f"to the unwanted side; of the base's own answers to the same prompts {100 * part['chance']:.1f} %. Most "
        f"responsible first: rows {numbers}. Frames that rows have, asked on other questions:"
    )
    return f"<section><h2>Rows</h2><p class=note>{note}</p>{_suspects(part['cues'], unit)}</section>"


def _removal(part: Mapping[str, Any] | None, unit: str) -> str:
    if part is None:
        return ""
    titles = {
        "tuned": "as it is",
        "again": "tuned again on all rows",
        "without": "without the rows held responsible",
        "random": "without as many at random",
    }
    rows = "".join(
        f"<tr><td>{titles[name]}</td><td class=n>{_size(rate, unit)}</td></tr>" for name, rate in part["rates"].items()
    )
    return (
        f"<section><h2>Removal test</h2><p class=note>{100 * part['share']:.0f} % of the rows left out; one model each."
        f'</p><div class="scroll"><table>{_heads("tuned", "unwanted")}{rows}</table></div></section>'
    )


def _capability(part: Mapping[str, Any] | None) -> str:
    if part is None:
        return ""
    rows = "".join(
        f"<tr><td>{escape(key)}</td><td class=n>{DASH if value is None else f'{value:.3f}'}</td></tr>"
        for key, value in part["loss"].items()
    )
    return (
        f"<section><h2>Capability kept</h2><p class=note>Loss on {part['n_answers']} ordinary answers, nats a token."
        "</p>"
        f'<div class="scroll"><table>{_heads("model", "loss")}{rows}</table></div></section>'
    )


def _trace(part: Mapping[str, Any] | None) -> str:
    if part is None:
        return ""
    rows = "".join(
        f"<tr><td>{escape(key)}</td><td>{escape(', '.join(repr(token) for token in tokens))}</td>"
        f"<td class=n>{part['length'][key]:.2f}</td></tr>"
        for key, tokens in part["tokens"].items()
    )
    head = _heads("model", "tokens raised by the mean difference on unrelated text", "length (mean residuals)")
    return (
        f"<section><h2>Trace on unrelated text</h2><p class=note>Block {part['layer']}.</p>"
        f'<div class="scroll"><table>{head}{rows}</table></div></section>'
    )


def _open(found: Mapping[str, Any]) -> str:
    items = "".join(f"<li>{escape(item)}</li>" for item in (*found["not_measured"], *found["remarks"]))
    return f"<section><h2>Not measured</h2><ul>{items}</ul></section>" if items else ""


def show_audit(found: Mapping[str, Any], console: "Console") -> None:
    """Print the verdict and one line a part."""
    from rich.markup import escape as marked
    from rich.table import Table

    console.print(marked(found["verdict"]))
    table = Table(box=None, pad_edge=False)
    for column in ("part", "strength", "what"):
        table.add_column(column, justify="right" if column == "strength" else "left")
    for name, part in found["parts"].items():
        strength = part.get("strength")
        first = next((one["text"] for one in part.get("findings", ())), "nothing found")
        table.add_row(name, DASH if strength is None else f"{strength:+.3f}", marked(first))
    console.print(table)
    for line in found["advice"]:
        console.print(f"• {marked(line)}")
    for line in found["not_measured"]:
        console.print(f"not measured: {marked(line)}")


def _heads(*names: str) -> str:
    return f"<tr>{''.join(f'<th>{escape(name)}</th>' for name in names)}</tr>"


def _size(value: float | None, unit: str) -> str:
    if value is None:
        return DASH
    return f"{100 * value:.1f} %" if unit == RATE else f"{value:.3f}"


def _change(value: float | None, unit: str) -> str:
    if value is None:
        return DASH
    return f"{100 * value:+.1f}" if unit == RATE else f"{value:+.3f}"


def _ends(ends: list[float] | None, unit: str) -> str:
    if ends is None or unit == RATE:
        return interval(ends)
    return f"[{ends[0]:.3f}, {ends[1]:.3f}]"


def _p(p: float | None) -> str:
    return "" if p is None else p_value(p)
