"""A grid of prompts: what was found, ranked, in the page and in the terminal."""

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from spillover.reports.rows import interval, p_value, percent

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 12
"""Conditions in the terminal at least, and of those that were not found in the page."""


def conditional_section(found: Mapping[str, Any]) -> str:
    """For each arm: its finding, the conditions that were found and the nearest others, and the families."""
    return f"<p class=note>{escape(found['rule'])}.</p>" + "".join(_arm(arm, found["label"]) for arm in found["arms"])


def _arm(arm: Mapping[str, Any], label: str) -> str:
    shown = ranked(arm)
    count = arm["n_found"] + SHOWN
    head = (
        f"<tr><th></th><th>condition</th><th>prompt</th><th>{escape(label)}</th><th>against plain</th>"
        "<th>control</th><th>against control</th><th>moved beyond it</th><th>corrected p</th><th>example</th></tr>"
    )
    body = "".join(_row(cell) for cell in shown[:count])
    plain = f"{percent(arm['plain']['value'])} {interval(arm['plain']['interval'])}"
    about = (
        f"Plain: {plain}. Models × questions: {arm['n_models']} × {arm['n_questions']}; relabelled: "
        f"{escape(arm['unit'])} (smallest p {arm['smallest_p']:.2g}). "
        if arm["smallest_p"] is not None
        else f"Plain: {plain}. "
    )
    rest = len(shown) - count
    about += f"{rest} more conditions, none found, are in tables/conditions.csv." if rest > 0 else ""
    return (
        f"<h3>{escape(arm['title'])}</h3><p class=note>{about}</p>"
        f'<div class="scroll tall"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>{_families(arm)}'
    )


def _row(cell: Mapping[str, Any]) -> str:
    control = cell["control"] or {"value": None, "difference": None, "interval": None}
    example = f"“{escape(cell['example']['answer'])}”" if cell["example"] else "–"
    mark = '<span class="mark held">found</span>' if cell["found"] else ""
    return (
        f"<tr><td>{mark}</td><td>{escape(cell['condition'])}<br><i>{escape(cell['family'])}</i></td>"
        f"<td>{escape(cell['text'])}</td>"
        f"<td class=n>{percent(cell['value'])}<br><i>{interval(cell['interval'])}</i></td>"
        f"<td class=n>{_points(cell['plain']['difference'])}<br><i>{interval(cell['plain']['interval'])}</i></td>"
        f"<td class=n>{percent(control['value'])}</td>"
        f"<td class=n>{_points(control['difference'])}<br><i>{interval(control['interval'])}</i></td>"
        f"<td class=n>{_points(cell['moved']['value'])}<br><i>{interval(cell['moved']['interval'])}</i></td>"
        f"<td class=n>{_p(cell['p'])}</td><td>{example}</td></tr>"
    )


def _families(arm: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(family['family'])}</td><td class=n>{family['n_found']} of {family['n_conditions']}</td>"
        f"<td class=n>{percent(family['value'])}</td><td class=n>{_points(family['moved'])}</td>"
        f"<td>{escape(family['largest']['condition']) if family['largest'] else '–'}</td>"
        f"<td class=n>{_points(family['largest']['moved']) if family['largest'] else '–'}</td>"
        f"<td class=n>{_p(family['p'])}</td></tr>"
        for family in arm["families"]
    )
    head = (
        "<tr><th>family</th><th>found</th><th>mean rate</th><th>moved</th><th>most moved by</th><th></th>"
        "<th>smallest p</th></tr>"
    )
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def ranked(arm: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Conditions of one arm: those that were found first, then by how far they move it."""

    def order(cell: Mapping[str, Any]) -> tuple[bool, float]:
        return not cell["found"], -abs(cell["moved"]["value"] or 0.0)

    return sorted(arm["conditions"], key=order)


def show_conditional(arm: Mapping[str, Any], label: str, console: "Console", most: int | None = None) -> None:
    """Print the conditions that move an arm most: all that were found, or ``most``."""
    from rich.markup import escape as marked
    from rich.table import Table

    shown = ranked(arm)[: most or max(SHOWN, arm["n_found"])]
    plainly = percent(arm["plain"]["value"])
    title = f"{label} answers of {arm['title']}, {plainly} plainly: {len(shown)} of {arm['n_conditions']} conditions"
    table = Table(title=marked(title), title_justify="left", box=None, pad_edge=False)
    for column in ("condition", "family", "rate", "control", "moved", "corrected p", ""):
        table.add_column(column, justify="left" if column in ("condition", "family", "") else "right")
    for cell in shown:
        control = percent(cell["control"]["value"] if cell["control"] else None)
        figures = (percent(cell["value"]), control, _points(cell["moved"]["value"]), _p(cell["p"]))
        table.add_row(marked(cell["condition"]), marked(cell["family"]), *figures, "found" if cell["found"] else "")
    console.print(table)


def _points(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:+.1f}"


def _p(p: float | None) -> str:
    return "–" if p is None else p_value(p).removeprefix("p ").removeprefix("= ")
