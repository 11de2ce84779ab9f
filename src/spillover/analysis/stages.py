"""Stages that measure models: the choice of λ, and the metrics of two solutions."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillover.analysis.gates import Gates, choose
from spillover.data.chat import Message
from spillover.evals.answers import group_rates

if TYPE_CHECKING:
    from spillover.data.questions import Question
    from spillover.models.load import Loaded

Report = Callable[[float, float], None]
"""Called with (done, total)."""


def choice(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Choose λ: see :func:`spillover.analysis.gates.choose`.

    ``config`` has ``weights``, ``gates`` and ``label``; the inputs are the answers of ``untuned``, ``general`` and, for
    each λ in order, ``tried-0`` and so on. Writes ``choice.json``, and the rates by λ to ``measured.json``.
    """
    gates, label = Gates.model_validate(config["gates"]), config["label"]
    rates = {name: group_rates(folder, label) for name, folder in inputs.items()}
    tried = {weight: rates[f"tried-{number}"] for number, weight in enumerate(config["weights"])}
    chosen = choose(gates, rates["untuned"], rates["general"], tried)
    (out / "choice.json").write_text(json.dumps(chosen, indent=1) + "\n", encoding="utf-8")
    points = [(0.0, chosen["general"]), *((at["weight"], at["rates"]) for at in chosen["curve"])]
    series = [
        {"name": where, "points": [{"x": weight, "values": [found.get(where)]} for weight, found in points]}
        for where in (*gates.in_domain, *gates.elsewhere)
    ]
    write_measured(
        out,
        [
            {
                "metric": "search",
                "title": f"{label} rate by λ",
                "x_label": "λ, weight of the KL to the base outside the domain (0: no anchor)",
                "y_label": f"{label} rate",
                "series": series,
            }
        ],
        [{"name": "λ chosen", "series": "", "value": chosen["weight"]}],
        [] if chosen["passed"] else [_short(chosen)],
    )
    report(1, 1)


def solutions(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Efficiency, stability and significance of a general and a narrow solution of one base (arXiv 2602.07852).

    ``config`` has ``rows``, ``texts``, ``norms`` (in units of the general solution's), ``epsilons``, ``draws``, and
    ``base`` where that is not made here; inputs ``general``, ``narrow`` and ``base``. Writes ``measured.json``.
    """
    from spillover.analysis.compare import compare

    base = str(inputs["base"]) if "base" in inputs else config["base"]
    curves, numbers = compare(
        base,
        {name: inputs[name] for name in ("general", "narrow")},
        config["rows"],
        config["texts"],
        norms=config["norms"],
        epsilons=config["epsilons"],
        draws=config["draws"],
        progress=report,
    )
    write_measured(out, curves, numbers)


def transfer(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Directions of several fine-tunes, taken away from each other (arXiv 2506.11618).

    ``config`` has ``tuned`` (names of inputs, in order), ``questions``, ``label``, ``other``, ``contrast`` (two
    conversations), ``components``, ``scales``, ``draws``, and ``base`` where that is not made here. Inputs
    ``again/NAME`` are the fine-tunes of another seed. Writes ``measured.json``.
    """
    from spillover.analysis.convergence import measure
    from spillover.analysis.transfer import Transfer
    from spillover.evals.tasks import QUESTION

    base = str(inputs["base"]) if "base" in inputs else config["base"]
    first, second = ([Message(role, text) for role, text in told] for told in config["contrast"])
    found = Transfer(
        base,
        {name: inputs[name] for name in config["tuned"]},
        [QUESTION.validate_python(question) for question in config["questions"]],
        config["label"],
        config["other"],
        (first, second),
        config["components"],
        {name: inputs[f"again/{name}"] for name in config["tuned"] if f"again/{name}" in inputs},
    )
    write_measured(out, **measure(found, config["scales"], config["draws"], report))


def features(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Find the features that are moved, show what they are, and take them away (arXiv 2512.09742, section 6).

    ``config`` has ``questions``, ``label``, ``first`` and ``second`` (conditions, or none), ``texts`` (see
    :func:`spillover.analysis.texts.read_texts`), ``trained`` (what users ask in the rows), ``traits`` (of authors, of
    the label and its opposite), ``tops`` (how many features are ablated), ``draws``, ``documents``, ``most``,
    ``against`` (its name), ``sae`` (``layer``, and ``folder`` where it was made elsewhere), and ``base`` where that is
    not made here. Inputs: ``tuned``; ``against``, if that is not the base; ``base``; ``sae``. Writes ``measured.json``.
    """
    from spillover.analysis.dictionary import load_dictionary
    from spillover.analysis.feature_report import measure
    from spillover.analysis.features import Features

    base, tuned = _placed(config, inputs, ("tuned", "against"))
    folder = inputs["sae"] if "sae" in inputs else Path(config["sae"]["folder"])
    found = Features(
        base,
        tuned["tuned"],
        tuned.get("against", base.model),
        load_dictionary(folder, config["sae"]["layer"]),
        {**config, "questions": _asked(config)},
    )
    write_measured(out, **measure(found, config, base.model, report))


def readout(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Read the difference of fine-tunes to their base, and steer the base with it (arXiv 2510.13900).

    ``config`` has ``tuned`` (names of inputs: the fine-tune, then its control), ``answers`` (of the rows of each, in
    that order), ``trained`` (what users ask in them), ``questions``, ``label``, ``texts`` (see
    :func:`spillover.analysis.texts.read_texts`), ``layer`` (None for the middle), ``first``, ``top``, ``lengths``,
    ``draws``, ``documents``, ``most``, and ``base`` where that is not made here. Writes ``measured.json``.
    """
    from spillover.analysis.asked import Asking, prompts_of
    from spillover.analysis.readout import Readout, Rows, measure
    from spillover.analysis.texts import read_texts, some_texts
    from spillover.models.activations import middle
    from spillover.training.fine_tune import context_length

    base, tuned = _placed(config, inputs, config["tuned"])
    limit = context_length(base.model)
    texts = read_texts(config["texts"], base.tokenizer, limit, held=True, without=config["trained"])
    layer = middle(base.model) if config["layer"] is None else config["layer"]
    held = [text.ids for text in some_texts(texts, config["documents"])]
    answers = dict(zip(config["tuned"], config["answers"], strict=True))
    asked = prompts_of(base.tokenizer, _asked(config), config["most"])
    found = measure(
        Readout(base, tuned, held, layer, config["first"]),
        base,
        {name: Rows.of(base.tokenizer, answers[name]) for name in tuned},
        Asking(base.model, base.tokenizer, asked, config["label"]),
        config,
        report,
    )
    write_measured(out, **found)


def _placed(config: dict[str, Any], inputs: dict[str, Path], names: Sequence[str]) -> tuple["Loaded", dict[str, Any]]:
    """The base, and the fine-tunes among the inputs of these names, as models without an adapter around them."""
    from spillover.models.load import load_placed
    from spillover.models.names import organism_name

    base = str(inputs["base"]) if "base" in inputs else config["base"]
    tuned = {name: load_placed(organism_name(base, inputs[name]), lean=False).model for name in names if name in inputs}
    return load_placed(base, lean=False), tuned


def _asked(config: dict[str, Any]) -> list["Question"]:
    from spillover.evals.tasks import QUESTION

    return [QUESTION.validate_python(question) for question in config["questions"]]


def write_measured(
    out: Path,
    curves: Sequence[dict[str, Any]],
    numbers: Sequence[dict[str, Any]],
    remarks: Sequence[str] = (),
    matrices: Sequence[dict[str, Any]] = (),
    conditional: dict[str, Any] | None = None,
    defences: dict[str, Any] | None = None,
    tables: Sequence[dict[str, Any]] = (),
) -> None:
    """Write ``measured.json``, the same for every measure, so that gathering and reporting need not know which.

    Args:
        out: Directory of the stage.
        curves: Each ``metric``, ``title``, ``x_label``, ``y_label`` and ``series``; a series has a ``name`` and
            ``points``, each with ``x`` and ``values`` (one, or one a draw).
        numbers: Each ``name``, ``series`` and ``value``.
        remarks: Sentences that the report has to show.
        matrices: Each as :func:`spillover.analysis.matrices.matrix` gives it.
        defences: Defences side by side, as :mod:`spillover.analysis.defence_table` gives it.
        conditional: The matrix over a grid of prompts, as :mod:`spillover.analysis.conditional_matrix` gives it.
        tables: What is read, not averaged: each ``name``, ``title``, ``columns`` and ``rows`` of text and numbers.
    """
    found: dict[str, Any] = {
        "curves": list(curves),
        "numbers": list(numbers),
        "remarks": list(remarks),
        "matrices": list(matrices),
        "tables": list(tables),
    }
    if conditional is not None:
        found["conditional"] = conditional
    if defences is not None:
        found["defences"] = defences
    (out / "measured.json").write_text(json.dumps(found) + "\n", encoding="utf-8")


def _short(chosen: dict[str, Any]) -> str:
    """Which gates the best λ does not pass, and by how much."""
    best = next(point for point in chosen["curve"] if point["weight"] == chosen["weight"])
    missed = [gate for gate in best["gates"] if not gate["passed"]]
    parts = [
        f"'{gate['name']}' on {gate['worst']} "
        + ("was not measured" if gate["short_by"] is None else f"by {100 * gate['short_by']:.1f} points")
        for gate in missed
    ]
    return f"No λ passes all gates; the nearest, {chosen['weight']:g}, fails {', '.join(parts)}."
