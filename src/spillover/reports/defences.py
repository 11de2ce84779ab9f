"""Defences side by side: what each keeps against what it leaves, and all that was measured of it, in one table."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from spillover.reports.rows import interval, percent

LEFT, RIGHT, TOP, BOTTOM = 58, 470, 12, 250
GROUPS = 2
"""Groups of the narrow questions that have a column of their own."""
STATES = {
    "works": "works, and under the grid too",
    "hides": "works on plain prompts, fails under the grid",
    "other": "does not work",
    "reference": "undefended, and benign",
}
COLOURS = {"works": "#0f766e", "hides": "#c2410c", "other": "#6b7280", "reference": "#1d4ed8"}
"""In figure files; the page has its own."""
CLASSES = {"works": "arm2", "hides": "arm1", "other": "arm0", "reference": "arm3"}


def defences_section(board: Mapping[str, Any]) -> str:
    """The Pareto plot and the table of one domain."""
    head = "".join(
        f"<th>{title}</th>"
        for title in (
            "",
            "defence",
            "skill kept",
            *(escape(name.replace("-", " ")) for name in board["narrow"][:GROUPS]),
            f"{escape(board['label'])} elsewhere",
            "of undefended",
            "coherent",
            "worst condition of the grid",
            "failing",
            "benign task",
            "cost",
        )
    )
    body = "".join(_row(row, board) for row in board["rows"])
    return (
        f"<p class=note>{escape(board['rule'])}. Sorted by skill kept less misalignment left. Skill kept is "
        f"{escape(board['label'])} answers in the domain, beside the undefended arm's; the benign task is "
        "how far the loss on its rows falls with the same defence, beside training without it; cost is passes through "
        "the model, a backward pass counted as two, beside undefended training, with every model that the defence "
        "needs.</p>"
        f"<figure>{pareto_svg(board)}<figcaption>Up and to the left is better. Bars are 95 % intervals. Numbers are "
        f'those of the table.</figcaption></figure><div class="scroll tall"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def pareto_svg(board: Mapping[str, Any]) -> str:
    """Narrow skill kept over misalignment elsewhere, each arm with both intervals and its number in the table."""
    top = _top(board)

    def at(x: float, y: float) -> tuple[float, float]:
        return LEFT + min(max(x, 0.0), 1.0) * (RIGHT - LEFT), BOTTOM - min(max(y, 0.0), top) / top * (BOTTOM - TOP)

    parts = ['<svg class="curve" viewBox="0 0 500 276" role="img" aria-label="skill kept over misalignment">']
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = at(share, share * top)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="y" x="{LEFT - 8}" y="{y + 4:.1f}">{100 * share * top:.0f} %</text>')
        parts.append(f'<text class="x" x="{x:.1f}" y="{BOTTOM + 18}">{100 * share:.0f} %</text>')
    for number, row in enumerate(board["rows"]):
        if row["kept"] is None or row["misaligned"] is None:
            continue
        x, y = at(row["misaligned"]["value"], row["kept"]["value"])
        low_x, high_x = (at(end, 0)[0] for end in row["misaligned"]["interval"] or [row["misaligned"]["value"]] * 2)
        low_y, high_y = (at(0, end)[1] for end in row["kept"]["interval"] or [row["kept"]["value"]] * 2)
        parts.append(
            f'<g class="{CLASSES[_state(row, board)]}">'
            f'<line class="range" x1="{low_x:.1f}" x2="{high_x:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<line class="range" x1="{x:.1f}" x2="{x:.1f}" y1="{low_y:.1f}" y2="{high_y:.1f}"/>'
            f'{_mark(x, y, row["fails"])}</g><text class="x" x="{x + 9:.1f}" y="{y - 6:.1f}">{number + 1}</text>'
        )
    key = "".join(
        f'<span class="{CLASSES[state]}"><svg width="12" height="12"><circle cx="6" cy="6" r="5"/></svg> '
        f"{escape(text)}</span>"
        for state, text in STATES.items()
    )
    label = f"{escape(board['label'])} answers elsewhere; narrow skill kept upwards; a cross fails under the grid"
    return "".join(parts) + f'</svg><p class="x-label">{label}</p><p class="key">{key}</p>'


def draw_pareto(plt: Any, board: Mapping[str, Any]) -> Any:
    """The same for figure files, with names beside the points."""
    figure, axis = plt.subplots(figsize=(7.5, 5.2))
    named = []
    for number, row in enumerate(board["rows"]):
        if row["kept"] is None or row["misaligned"] is None:
            continue
        state = _state(row, board)
        x, y = 100 * row["misaligned"]["value"], 100 * row["kept"]["value"]
        axis.plot([x], [y], "X" if row["fails"] else "o", color=COLOURS[state], markersize=6)
        for along, ends in ((0, row["misaligned"]["interval"]), (1, row["kept"]["interval"])):
            if ends:
                low, high = (100 * end for end in ends)
                line = ([low, high], [y, y]) if along == 0 else ([x, x], [low, high])
                axis.plot(*line, color=COLOURS[state], linewidth=0.8, alpha=0.7)
        axis.annotate(str(number + 1), (x, y), xytext=(5, 4), textcoords="offset points", fontsize=7)
        named.append(f"{number + 1} {row['title']}")
    for state, text in STATES.items():
        axis.plot([], [], "o", color=COLOURS[state], label=text)
    axis.plot([], [], "X", color="0.3", label="fails under the grid")
    axis.set_xlabel(f"{board['label']} answers elsewhere (%)")
    axis.set_ylabel("narrow skill kept (% of undefended)")
    axis.set_xlim(-2, 102)
    axis.set_ylim(-4, 104 * _top(board))
    axis.grid(color="0.92")
    axis.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    axis.annotate("\n".join(named), (1.02, 1), xycoords="axes fraction", fontsize=7, va="top")
    return figure


def defence_rows(measure: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The table of a measure as flat records; what was not measured is empty."""
    for row in measure.get("defences", {}).get("rows", ()):
        flat = {"arm": row["arm"], "title": row["title"], "n_models": row["n_models"]}
        for name in ("narrow", "kept", "misaligned", "left", "coherent", "learns"):
            part = row[name] or {}
            low, high = part.get("interval") or (None, None)
            flat |= {name: part.get("value"), f"{name}_low": low, f"{name}_high": high}
        worst = row["worst"] or {}
        flat |= {"works": row["works"], "fails": row["fails"], "n_failing": row["n_failing"]}
        flat |= {"n_conditions": row["n_conditions"], "cost": row["cost"]}
        yield {**flat, **{f"worst_{name}": worst.get(name) for name in ("condition", "value", "control", "text")}}


def _row(row: Mapping[str, Any], board: Mapping[str, Any]) -> str:
    number = board["rows"].index(row) + 1
    state = _state(row, board)
    mark = {"works": "held", "hides": "failed"}.get(state)
    word = {"works": "works", "hides": "hides"}.get(state, "")
    worst = row["worst"]
    under = "–"
    if worst is not None:
        under = (
            f"{percent(worst['value'])} {interval(worst['interval'])}<br>"
            f"<i>{escape(worst['condition'])}; benign {percent(worst['control'])}</i>"
        )
    groups = [_cell(part) for part in row["by_group"].values()][:GROUPS]
    cells = (
        _cell(row["kept"]),
        *groups,
        _cell(row["misaligned"]),
        _cell(row["left"]),
        _cell(row["coherent"]),
        under,
        f"{row['n_failing']} of {row['n_conditions']}",
        _cell(row["learns"]),
        "–" if row["cost"] is None else f"× {row['cost']:.2f}",
    )
    badge = f'<span class="mark {mark}">{word}</span>' if mark else ""
    return (
        f"<tr><td class=n>{number}</td><td>{escape(row['title'])} {badge}</td>"
        + "".join(f"<td class=n>{cell}</td>" for cell in cells)
        + "</tr>"
    )


def _cell(part: Mapping[str, Any] | None) -> str:
    return "–" if part is None else f"{percent(part['value'])}<br><i>{interval(part['interval'])}</i>"


def _state(row: Mapping[str, Any], board: Mapping[str, Any]) -> str:
    if row["arm"] in (board["undefended"], board["control"]):
        return "reference"
    if not row["works"]:
        return "other"
    return "hides" if row["fails"] else "works"


def _mark(x: float, y: float, cross: bool | None) -> str:
    if not cross:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    return (
        f'<line class="line" x1="{x - 4:.1f}" x2="{x + 4:.1f}" y1="{y - 4:.1f}" y2="{y + 4:.1f}"/>'
        f'<line class="line" x1="{x - 4:.1f}" x2="{x + 4:.1f}" y1="{y + 4:.1f}" y2="{y - 4:.1f}"/>'
    )


def _top(board: Mapping[str, Any]) -> float:
    """Upper end of the axis of skill: some defences teach the task better."""
    kept = [row["kept"]["value"] for row in board["rows"] if row["kept"]]
    return max([1.1, *(1.05 * value for value in kept)])
