"""The page: sections in the order a reader asks for them, styles and script inside, nothing fetched."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from spillover.reports.chart import Chart, measure_charts, relation_charts
from spillover.reports.conditional import conditional_section
from spillover.reports.defences import defences_section
from spillover.reports.document import document
from spillover.reports.matrix import DASH, matrix_table
from spillover.reports.plots import chart_svg, main_plot, row_label
from spillover.reports.read import RunFiles
from spillover.reports.rows import interval, p_value, percent, rate_rows

HELD = {True: ("held", "✓ held"), False: ("failed", "✗ not held"), None: ("unknown", "? not measured")}

SIGNIFICANT = 0.05
"""Corrected p below which a question is marked."""
EXPLAINED = """<p class=note><b>eff.</b> is effective n: answers of one model are alike, and so are answers to one
question, so that together they say as much as this number of independent answers. <b>p</b> is found by dealing the
models anew to the arm and its control, in every possible way: the share of ways that give at least as large a
difference, up or down. Few models can be dealt in few ways: with 3 against 3 models p cannot be below .1, with 5
against 5 not below .008, with 5 against a single one not below .17.</p>"""
MARKED = """<p class=note>* differs from the control: p is below .05 after correction for the number of questions, for
which models are dealt anew as above and the largest difference on any question counts (Westfall and Young). Tested
where arm and control have two models each; with 3 against 3 models none can be marked. Holm's correction is in
tables/questions.csv.</p>"""


def page(run: RunFiles) -> str:
    """The whole HTML document. Text of models and of users is escaped, or put in by the script as text."""
    results = run.results
    measures = [_relations(results), *(_measure(measure, charts) for measure, charts in measure_charts(results))]
    claims = _claims(results)
    body = [*measures, claims] if results["plot"]["kind"] == "measures" else [_figure(results), claims, *measures]
    sections = (
        _head(results),
        *body,
        _rates(results),
        _questions(),
        _transcripts(run),
        _outcomes(results),
        _open(results),
        _provenance(run.provenance),
    )
    return document(results["title"], sections, _json(_data(run)))


def _head(results: dict[str, Any]) -> str:
    papers = " · ".join(
        f"arXiv {escape(source['arxiv'])}{', ' + escape(source['section']) if source['section'] else ''}"
        for source in results["source"]
    )
    return (
        f"<header><p class=eyebrow>Spillover · {escape(results['experiment'])}</p><h1>{escape(results['title'])}</h1>"
        f"<p class=question>{escape(results['question'])}</p><p class=answer>{escape(results['answer'])}</p>"
        f"<p class=source>{'After ' + papers if papers else ''}</p></header>"
    )


def _figure(results: dict[str, Any]) -> str:
    return f"<figure>{main_plot(results)}<figcaption>{_caption(results)}</figcaption></figure>"


def _caption(results: dict[str, Any]) -> str:
    if results.get("judge"):
        judge = results["judge"]
        among = " and ".join(judge["among"])
        policy = f" under the policy <b>{escape(judge['policy'])}</b> ({escape(judge['source'])})"
        return (
            f"Share of <b>{escape(results['label'])}</b> answers among those that count ({escape(among)}), as judged "
            f"by {escape(judge['model'])}{policy if 'misaligned' in judge['among'] else ''}. "
            "Bars are 95 % intervals over trained models and questions." + _onsets(results["plot"])
        )
    return (
        f"Share of <b>{escape(results['label'])}</b> answers: exact probability over all answers that exist in the "
        "world where these can be listed, sampled otherwise. Bars are 95 % intervals over trained models and questions "
        "(their numbers stand in the table)." + _onsets(results["plot"])
    )


def _onsets(plot: dict[str, Any]) -> str:
    """From where on each line differs from its control, by a stated rule."""
    if plot["kind"] != "curve" or plot.get("over") == "conditions":
        return ""
    found = []
    for series in plot["series"]:
        onset = series["onset"]
        shown = "none" if onset is None else f"{100 * onset:.3g} %" if plot["x_share"] else f"{onset:g}"
        found.append(f"{escape(series['name'].replace('-', ' '))} {shown}")
    return (
        " Onset, the smallest value from which on every interval of the difference to the control lies above 0: "
        + "; ".join(found)
        + "."
    )


def _claims(results: dict[str, Any]) -> str:
    if not results["claims"]:
        return ""
    rows = []
    for claim in results["claims"]:
        kind, word = HELD[claim["held"]]
        rows.append(
            f'<tr><td><span class="mark {kind}">{word}</span></td><td>{escape(claim["text"])}</td>'
            f"<td>{escape(claim['figure'])}</td><td>{escape(claim['bar'])}</td>"
            f"<td>{escape(claim['published']) or '–'}</td></tr>"
        )
    head = "<tr><th></th><th>claim</th><th>found</th><th>bar</th><th>published</th></tr>"
    return (
        "<section><h2>Claims</h2><p class=note>Written down before the experiment ran.</p>"
        f'<div class="scroll"><table class="claims">{head}{"".join(rows)}</table></div></section>'
    )


def _relations(results: dict[str, Any]) -> str:
    figures = "".join(
        f"<figure><h3>{escape(chart.title)}</h3>{chart_svg(chart)}<figcaption>{escape(chart.y_label)}; Spearman "
        f"{_with_interval(relation['spearman'], relation['spearman_interval'])}, Pearson "
        f"{_with_interval(relation['pearson'], relation['pearson_interval'])}, {len(relation['points'])} models"
        "</figcaption></figure>"
        for relation, chart in relation_charts(results)
    )
    if not figures:
        return ""
    note = "Each point is one trained model. Intervals are of a bootstrap over arms and the models in them."
    return f'<section><h2>Does it predict?</h2><p class=note>{note}</p><div class="charts">{figures}</div></section>'


def _with_interval(value: float | None, interval: Sequence[float | None]) -> str:
    if value is None or None in interval:
        return "not measured"
    low, high = interval
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def _measure(measure: Mapping[str, Any], charts: Sequence[tuple[str, Chart]]) -> str:
    remarks = "".join(f"<p class=remark>{escape(remark)}</p>" for remark in measure["remarks"])
    figures = "".join(
        f"<figure><h3>{escape(chart.title)}</h3>{chart_svg(chart)}<figcaption>{escape(chart.y_label)}</figcaption></figure>"
        for _, chart in charts
    )
    rows = "".join(_number_row(number) for number in measure["numbers"] if "defences" not in measure)
    head = "<tr><th>number</th><th>of</th><th>mean</th><th>95 % interval</th><th>models</th></tr>"
    table = f'<div class="scroll"><table>{head}{rows}</table></div>' if rows else ""
    models = max((series["n_models"] for curve in measure["curves"] for series in curve["series"]), default=0)
    draws = max((series["n_draws"] for curve in measure["curves"] for series in curve["series"]), default=0)
    note = f"Means and 95 % intervals over {models} trained {'model' if models == 1 else 'models'}"
    note += f" and up to {draws} random draws each." if draws > 1 else "."
    read = "".join(_read_table(table) for table in measure.get("tables", ()))
    if read and table and not measure["curves"]:  # the tables say the same, better
        read, table = f"{read}<details><summary>Every number</summary>{table}</details>", ""
    if not measure["curves"]:
        note = "Intervals, where there are any, stand in the cells' tips and in the table."
    grid = measure.get("conditional")
    board = measure.get("defences")
    if grid is not None or board is not None:
        note = "95 % intervals over trained models and questions."
    return (
        f"<section><h2>{escape(measure['title'])}</h2>{remarks}<p class=note>{note}</p>"
        f"{'' if grid is None else conditional_section(grid)}{'' if board is None else defences_section(board)}"
        f"{''.join(matrix_table(matrix) for matrix in measure.get('matrices', ()))}"
        f'<div class="charts">{figures}</div>{table}{read}</section>'
    )


def _read_table(table: Mapping[str, Any]) -> str:
    """A table of text and numbers, one model's rows behind another's."""
    head = "".join(f"<th>{escape(column)}</th>" for column in table["columns"])
    rows = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in table["rows"])
    return f'<h3>{escape(table["title"])}</h3><div class="scroll tall"><table>{head}{rows}</table></div>'


def _number_row(number: Mapping[str, Any]) -> str:
    low, high = number["interval"]
    between = DASH if low is None else f"{_number(low)} to {_number(high)}"
    cells = (_number(number["value"]), between, str(number["n_models"]))
    figures = "".join(f"<td class=n>{cell}</td>" for cell in cells)
    return f"<tr><td>{escape(number['name'])}</td><td>{escape(number['series'])}</td>{figures}</tr>"


def _number(value: float | None) -> str:
    return DASH if value is None else f"{value:.4g}"


def _rates(results: dict[str, Any]) -> str:
    titles = {where["name"]: where["title"] for where in results["wheres"]}
    label = escape(results["label"])
    rows = []
    for row in rate_rows(results):
        exact, sampled, coherent = row.exact or {}, row.sampled or {}, row.coherent or {}
        main = row.main or {}
        control = main.get("control") or {}
        against = (
            f"{100 * control['difference']:+.1f} points vs {escape(control['arm'])}"
            f"<br><i>{interval(control['interval'])}{_significance(control)}</i>"
            if control and control["difference"] is not None
            else DASH
        )
        rows.append(
            f"<tr><td>{escape(row_label(row))}</td><td>{escape(titles[row.where])}</td>"
            f"<td class=n>{percent(exact.get('value'))}<br><i>{interval(exact.get('interval'))}</i></td>"
            f"<td class=n>{_sampled(sampled)}<br><i>{interval(sampled.get('interval'))}</i></td>"
            f"<td class=n>{percent(coherent.get('value'))}</td>"
            f"<td class=n>{main['n_models']} × {main['n_questions']}</td>"
            f"<td class=n>{_answers(sampled)}</td>"
            f"<td class=n>{against}</td></tr>"
        )
    agreement = results["agreement"]
    note = ""
    if agreement["cells"]:
        note = (
            f"<p class=note>Sampled and exact rates agree within the 95 % noise of sampling in "
            f"{agreement['within_noise']} of {agreement['cells']} cells (95 % are expected to); the largest gap is "
            f"{100 * agreement['largest_gap']:.1f} points.</p>"
        )
    head = (
        f"<tr><th>arm</th><th>where</th><th>{label},<br>exact</th><th>{label},<br>sampled</th><th>coherent</th>"
        "<th>models ×<br>questions</th><th>answers</th><th>difference<br>to control</th></tr>"
    )
    return (
        f'<section><h2>All rates</h2><p class=note>With 95 % intervals.</p>{note}<div class="scroll tall"><table>'
        f"<thead>{head}</thead><tbody>{''.join(rows)}</tbody></table></div>{EXPLAINED}</section>"
    )


def _sampled(sampled: Mapping[str, Any]) -> str:
    return "not measured" if sampled and sampled["value"] is None else percent(sampled.get("value"))


def _answers(sampled: Mapping[str, Any]) -> str:
    """How many there are, and how many independent ones they are worth."""
    effective = sampled.get("effective_n")
    worth = "" if effective is None else f"<br><i>(eff. {effective:,.0f})</i>"
    return f"{sampled.get('n_samples', 0):,}{worth}"


def _significance(control: Mapping[str, Any]) -> str:
    """p, and whether so few models could not have given a smaller one; nothing where they could not give any other."""
    p, smallest = control.get("p"), control.get("smallest_p")
    if p is None or smallest is None or smallest == 1:
        return ""
    return f"<br>{p_value(p)}" + (", the smallest possible" if p == smallest else "")


def _questions() -> str:
    return (
        '<section><h2>Question by question</h2><div class="controls" id="question-filters"></div>'
        f'<div class="scroll tall"><table id="questions"></table></div>{MARKED}</section>'
    )


def _transcripts(run: RunFiles) -> str:
    shown, total = len(run.transcripts), run.transcripts_in_all
    some = "" if shown == total else f" {shown:,} of {total:,}, spread evenly; all are in transcripts.jsonl."
    return (
        f"<section><h2>What the models said</h2><p class=note>Distinct answers with how often each was drawn.{some}</p>"
        '<div class="controls" id="transcript-filters"></div><div id="transcripts"></div>'
        '<div class="pager" id="pager"></div></section>'
    )


def _outcomes(results: dict[str, Any]) -> str:
    names = list(dict.fromkeys(name for row in results["outcomes"] for name in row["counts"]))
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = "".join(
        f"<tr><td>{escape(row['arm'])}</td><td>{escape(row['where'])}</td><td>{escape(row['condition'])}</td>"
        + "".join(f"<td class=n>{row['counts'].get(name, 0):,}</td>" for name in names)
        + "</tr>"
        for row in results["outcomes"]
    )
    return (
        "<section><h2>Every sampled answer, by outcome</h2><p class=note>Truncated, empty, incoherent and unscored "
        "answers are never counted as a label.</p><details><summary>Show the counts</summary>"
        f'<div class="scroll tall"><table><thead><tr><th>arm</th><th>where</th><th>condition</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></details></section>"
    )


def _open(results: dict[str, Any]) -> str:
    if not results["not_measured"]:
        return ""
    items = "".join(f"<li>{escape(item)}</li>" for item in results["not_measured"])
    return f"<section><h2>Not measured</h2><ul>{items}</ul></section>"


def _provenance(provenance: dict[str, Any]) -> str:
    facts = {
        "Spillover": provenance.get("spillover"),
        "started": provenance.get("started"),
        "work in all stages": f"{provenance.get('seconds_of_stages', 0):,.0f} s",
        "this run": f"{provenance.get('seconds_this_time', 0):,.0f} s",
        **provenance.get("versions", {}),
    }
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items())
    stages = "".join(
        f"<tr><td>{escape(stage['label'])}</td><td><code>{escape(stage['stage'])}</code></td>"
        f"<td class=n>{stage.get('seconds', 0):.1f} s</td><td>{escape(str(stage.get('device', '')))}</td></tr>"
        for stage in provenance.get("stages", [])
    )
    config = escape(json.dumps(provenance.get("config", {}), indent=1, ensure_ascii=False))
    return (
        f"<section><h2>Provenance</h2><dl>{items}</dl><details><summary>Stages and their hashes</summary>"
        f'<div class="scroll tall"><table>{stages}</table></div></details>'
        f"<details><summary>Configuration</summary><pre>{config}</pre></details></section>"
    )


def _data(run: RunFiles) -> dict[str, Any]:
    """What the script shows; only the fields it needs."""
    return {
        "arms": {arm["name"]: arm["title"] for arm in run.results["arms"]},
        "label": run.results["label"],
        "questions": [_question(question) for question in run.results["questions"]],
        "transcripts": run.transcripts,
    }


def _question(question: Mapping[str, Any]) -> dict[str, Any]:
    control = question.get("control") or {}
    p = control.get("p_max")
    marked = p is not None and p < SIGNIFICANT
    return {**question, "control": None, "difference": control.get("difference"), "marked": marked}


def _json(value: Any) -> str:
    """JSON that cannot end its script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
