"""Features of a sparse autoencoder that fine-tuning, or a condition, moves; and what is left without them.

As arXiv 2512.09742 (section 6) does it: the mean difference of the residual stream at the last token of the same
prompts, in two conditions or in two models; the decoder directions nearest to it; their ablation at every position.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spillover.analysis.asked import Asking, ByGroup, Found, by_turns, over_conditions, prompts_of
from spillover.analysis.convergence import Removed
from spillover.analysis.dictionary import Dictionary, Quality, load_dictionary, token_states
from spillover.analysis.findings import Findings
from spillover.analysis.fires import Fires, auc
from spillover.analysis.matrices import matrix
from spillover.analysis.texts import read_texts, some_texts
from spillover.core.errors import DataError
from spillover.data.questions import Question
from spillover.models.ablation import ablated
from spillover.models.activations import last_states
from spillover.models.load import Loaded, load_placed
from spillover.models.names import organism_name
from spillover.models.steering import SteeringVector
from spillover.training.fine_tune import context_length

COSINE, ACTIVATION = "cosine", "activation"
RANKINGS = (COSINE, ACTIVATION)
"""By the cosine of a feature's direction with the difference, as published; by the difference of its activation."""
PLAIN, DIFFERENCE = "not ablated", "the difference itself"
NEAREST = 10
"""Features as active as a given one, among which its control is drawn."""
FAINT = 1e-4
"""Activation below which one is as good as another."""


@dataclass(frozen=True)
class Moved:
    """How a comparison moves the features of a dictionary."""

    name: str
    title: str
    difference: Tensor
    """Mean residual stream of the first minus the second, at the last token: width."""
    cosine: Tensor
    """Of each feature's direction with it."""
    activation: Tensor
    """Of each feature: mean activation in the first minus the second."""

    def top(self, ranking: str, count: int) -> list[int]:
        """The features that are moved up most."""
        values = self.cosine if ranking == COSINE else self.activation
        best = values.topk(min(count, len(values)))
        return [int(i) for i, value in zip(best.indices, best.values, strict=True) if value > 0]


def moved(dictionary: Dictionary, name: str, title: str, first: Tensor, second: Tensor) -> Moved:
    """Compare states at last tokens, prompts × width each."""
    difference = first.mean(0) - second.mean(0)
    if not difference.norm() > 0:
        raise DataError(f"{title}: there is no difference between them")
    features = len(dictionary.directions)
    return Moved(
        name,
        title,
        difference,
        dictionary.directions @ (difference / difference.norm()),
        dictionary.active(first).mean(features) - dictionary.active(second).mean(features),
    )


def as_active(activity: Tensor, chosen: Sequence[int], without: Sequence[int], seed: int) -> list[int]:
    """For each chosen feature another one of about its activity, drawn among the nearest.

    Args:
        activity: Of every feature.
        chosen: Features.
        without: Features that are never drawn, beside those that are never active.
        seed: Of the draw.

    Returns:
        As many features as were chosen, or all that there are.
    """
    rng = np.random.default_rng(seed)
    free = [i for i in torch.nonzero(activity > 0).flatten().tolist() if i not in {*chosen, *without}]
    drawn = []
    for feature in chosen:
        if not free:
            break
        level = (activity[feature] + FAINT).log()
        free.sort(key=lambda i: abs(float((activity[i] + FAINT).log() - level)))
        drawn.append(free.pop(int(rng.integers(min(NEAREST, len(free))))))
    return drawn


class Features:
    """A fine-tune, what it is compared with, and the dictionary of the base both come from.

    Args:
        base: Of all of them, loaded.
        tuned: The fine-tune.
        against: What it is compared with on unrelated text: the base, or another fine-tune.
        dictionary: Of the base.
        config: As of :func:`features`.
    """

    def __init__(self, base: Loaded, tuned: Any, against: Any, dictionary: Dictionary, config: dict[str, Any]) -> None:
        self._base, self.tuned, self._against = base, tuned, against
        self.dictionary = dictionary
        self._config = config
        from spillover.evals.tasks import QUESTION

        questions: list[Question] = [QUESTION.validate_python(question) for question in config["questions"]]
        self.conditions = list(dict.fromkeys(question.condition for question in questions))
        measured, self._finding = by_turns(prompts_of(base.tokenizer, questions, config["most"]))
        self.asking = Asking(base.model, base.tokenizer, measured, config["label"])
        if not self._finding:
            raise DataError("features: every condition needs two prompts, one to find features on and one to measure")
        limit = context_length(base.model)
        held = read_texts(config["texts"], base.tokenizer, limit, held=True)
        self.fires = Fires(
            base.model,
            base.tokenizer,
            dictionary,
            some_texts(held, config["documents"]),
            self._finding[0][2][-1],
        )
        unrelated = read_texts(config["texts"], base.tokenizer, limit, held=True, without=config["trained"])
        self._unrelated = [text.prompt for text in some_texts(unrelated, config["documents"])]
        width = len(dictionary.directions)
        prompts = [prompt for _, _, prompt in self._finding]
        states = token_states(tuned, base.tokenizer, prompts, dictionary.layer)[0]
        self.activity = dictionary.active(states).mean(width)
        """Mean activation of every feature over the tokens of the prompts, in the fine-tune."""
        self.on_prompts = dictionary.quality(states)

    def between_conditions(self) -> Moved | None:
        """The fine-tune on prompts of the first conditions against those of the second; None where none are named."""
        if not self._config["first"]:
            return None
        first, second = (self._states(self.tuned, self._config[which]) for which in ("first", "second"))
        title = f"{_named(self._config['first'])} against {_named(self._config['second'])}"
        return moved(self.dictionary, "conditions", title, first, second)

    def in_base(self) -> Tensor:
        """The same difference between conditions in the base."""
        first, second = (self._states(self._base.model, self._config[which]) for which in ("first", "second"))
        return first.mean(0) - second.mean(0)

    def between_models(self) -> Moved:
        """The fine-tune against the other model on unrelated prompts."""
        states = (last_states(model, self._unrelated, self.dictionary.layer) for model in (self.tuned, self._against))
        title = f"tuned against {self._config['against']}, unrelated prompts"
        return moved(self.dictionary, "models", title, *states)

    def without(self, features: Sequence[int]) -> ByGroup:
        """Rates of the fine-tune with the directions of some features projected out, one after another."""
        return self.without_directions(self.dictionary.directions[list(features)])

    def without_directions(self, directions: Tensor) -> ByGroup:
        """The same for any directions at that block: directions × width."""
        vectors = [SteeringVector(self.dictionary.layer, direction) for direction in directions]
        return self.asking.rates(self.tuned, ablated(self.tuned, vectors))

    def _states(self, model: Any, conditions: Sequence[str]) -> Tensor:
        prompts = [prompt for question, _, prompt in self._finding if question.condition in conditions]
        return last_states(model, prompts, self.dictionary.layer)


def features(
    config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Callable[[float, float], None]
) -> None:
    """Stage: find the features that are moved, show what they are, and take them away.

    ``config`` has ``questions``, ``label``, ``first`` and ``second`` (conditions, or none), ``texts`` (see
    :func:`spillover.analysis.texts.read_texts`), ``trained`` (what users ask in the rows), ``traits`` (of authors, of
    the label and its opposite), ``tops`` (how many features are ablated), ``draws``, ``documents``, ``most``,
    ``against`` (its name), ``sae`` (``folder`` and ``layer``, where it was made elsewhere), and ``base`` where that is
    not made here. Inputs: ``tuned``; ``against``, if that is not the base; ``base``; ``sae``. Writes ``measured.json``.
    """
    from spillover.analysis.stages import write_measured

    base_name = str(inputs["base"]) if "base" in inputs else config["base"]
    dictionary = load_dictionary(
        inputs["sae"] if "sae" in inputs else Path(config["sae"]["folder"]), config["sae"]["layer"]
    )
    base = load_placed(base_name, lean=False)
    _check_width(dictionary, base.model)
    tuned, against = (
        load_placed(organism_name(base_name, inputs[name]), lean=False).model if name in inputs else base.model
        for name in ("tuned", "against")
    )
    write_measured(out, **measure(Features(base, tuned, against, dictionary, config), config, base.model, report))


def measure(
    found: Features, config: dict[str, Any], base: Any, progress: Callable[[float, float], None]
) -> dict[str, Any]:
    """What :func:`spillover.analysis.stages.write_measured` takes."""
    report = Findings()
    for where, quality in {"held-out documents": found.fires.quality, "prompts, fine-tune": found.on_prompts}.items():
        _say_quality(report, where, quality)
    comparisons = [one for one in (found.between_conditions(), found.between_models()) if one is not None]
    conditions = config["first"] or found.conditions
    before = {"base": found.asking.rates(base), PLAIN: found.asking.rates(found.tuned)}
    for name, rates in before.items():
        for condition in found.conditions:
            rate, coherent = over_conditions(rates, [condition])
            report.say("rate", f"{name}, {condition}", [rate])
            report.say("coherence", f"{name}, {condition}", [coherent])
    share = Removed(over_conditions(before["base"], conditions), {"tuned": over_conditions(before[PLAIN], conditions)})
    if config["first"]:
        cosine = torch.cosine_similarity(comparisons[0].difference, found.in_base(), dim=0)
        report.say("cosine with the same difference in the base", comparisons[0].title, [float(cosine)])
    traits = _Traits(found.fires, config["traits"])
    tables = []
    for number, comparison in enumerate(comparisons):
        for ranking in RANKINGS:
            tables.append(_table(found.fires, traits, comparison, ranking, max(config["tops"])))
            traits.say(report, f"{comparison.title}: by {ranking}", comparison.top(ranking, max(config["tops"])))
        _ablate(found, comparison, config, before, conditions, share, report)
        progress(number + 1, len(comparisons))
    traits.say(report, "all that fire", torch.nonzero(found.fires.firing).flatten().tolist())
    remarks = [
        f"{len(comparisons[0].cosine)} features of the residual stream after block {found.dictionary.layer}; held-out "
        f"text of {found.fires.quality.tokens} tokens."
    ]
    if share.nothing:
        remarks.append(
            "Fine-tuning added too little to the rate among coherent answers for a share of it to be taken away."
        )
    return {
        "curves": report.curves,
        "numbers": report.numbers,
        "remarks": remarks,
        "matrices": report.matrices,
        "tables": tables,
    }


def _ablate(
    found: Features,
    comparison: Moved,
    config: dict[str, Any],
    before: Mapping[str, ByGroup],
    conditions: Sequence[str],
    share: Removed,
    report: Findings,
) -> None:
    """Rates without the features that are moved most, and without as many that are as active."""
    tops, draws = sorted(config["tops"]), config["draws"]
    every = [feature for ranking in RANKINGS for feature in comparison.top(ranking, max(tops))]
    variants: dict[str, list[ByGroup]] = {name: [rates] for name, rates in before.items()}
    curves: dict[str, dict[int, list[Found]]] = {}
    for ranking in RANKINGS:
        chosen = comparison.top(ranking, max(tops))
        controls = [as_active(found.activity, chosen, every, seed) for seed in range(draws)]
        for name, several in {f"by {ranking}": [chosen], f"random, as active as by {ranking}": controls}.items():
            at: dict[int, list[ByGroup]] = {top: [found.without(one[:top]) for one in several] for top in tops}
            variants[f"{max(tops)} {name}"] = at[max(tops)]
            points = {top: [over_conditions(rates, conditions) for rates in left] for top, left in at.items()}
            curves[name] = {0: [over_conditions(before[PLAIN], conditions)] * len(several), **points}
    variants[DIFFERENCE] = [found.without_directions(comparison.difference[None])]
    for name, left in list(variants.items())[len(before) :]:
        series = f"{comparison.title}: {name}"
        rates = [over_conditions(one, conditions) for one in left]
        report.say("share removed", series, [share("tuned", {"all": one}) for one in rates])
        report.say("rate left", series, [rate for rate, _ in rates])
        report.say("coherence left", series, [coherent for _, coherent in rates])
    cells = {
        name: {condition: [over_conditions(one, [condition]) for one in left] for condition in found.conditions}
        for name, left in variants.items()
    }
    title = f"{config['label']} rate by condition, features ablated: {comparison.title}"
    report.matrices.append(matrix(f"ablated-{comparison.name}", title, "rate", cells, "coherent"))
    for which, what in enumerate((f"{config['label']} rate", "coherent rate")):
        report.curve(
            f"{'ablated' if which == 0 else 'coherent'}-{comparison.name}",
            f"{what.capitalize()} in {_named(conditions)}, features ablated: {comparison.title}",
            "features ablated",
            what,
            {
                name: {top: [rates[which] for rates in several] for top, several in points.items()}
                for name, points in curves.items()
            },
        )


class _Traits:
    """Whose documents features fire on more."""

    def __init__(self, fires: Fires, traits: Sequence[str]) -> None:
        self.names = list(traits)
        self._by = [fires.by_trait(trait) for trait in traits]
        self.known = all(len(rows) for rows in self._by)
        if self.known:
            self.means = [rows.mean(0) for rows in self._by]
            self.auc = auc(*self._by)
            self.opening = auc(*(fires.by_trait(trait, openings=True) for trait in traits))

    def say(self, report: Findings, series: str, features: Sequence[int]) -> None:
        """What a set of features has in common."""
        if not self.known:
            return
        chosen = list(features)
        more = (self.means[0] > self.means[1])[chosen].float()
        who = f"{self.names[0]} authors than for {self.names[1]} ones"
        report.say(f"share that fires more for {who}", series, [float(more.mean())] if chosen else [])
        for name, values in {"in documents": self.auc, "where answers begin": self.opening}.items():
            what = f"probability of more in a document of {self.names[0]} authors, {name}"
            report.say(what, series, [float(values[chosen].mean())] if chosen else [])


def _table(fires: Fires, traits: _Traits, comparison: Moved, ranking: str, count: int) -> dict[str, Any]:
    """The features that are moved most, and what each of them is."""
    columns = ["feature", "cosine", "difference of activation", "fires on", "where most"]
    if traits.known:
        columns += [f"mean activation, {name}" for name in traits.names]
        columns += [f"AUC {' against '.join(traits.names)}", "the same where answers begin"]
    rows = []
    for feature in comparison.top(ranking, count):
        tokens = ", ".join(f"{token!r} {share:.0%}" for token, share in fires.tokens(feature))
        row = [
            feature,
            round(float(comparison.cosine[feature]), 3),
            round(float(comparison.activation[feature]), 4),
            tokens or "nothing here",
            " | ".join(fires.contexts(feature)),
        ]
        if traits.known:
            row += [round(float(means[feature]), 4) for means in traits.means]
            row += [round(float(values[feature]), 3) for values in (traits.auc, traits.opening)]
        rows.append(row)
    title = f"Features moved most by {ranking}: {comparison.title}"
    return {"name": f"{comparison.name}-{ranking}", "title": title, "columns": columns, "rows": rows}


def _say_quality(report: Findings, where: str, quality: Quality) -> None:
    report.say("variance explained", where, [quality.explained])
    report.say("features active at a token", where, [quality.active])
    report.say("dead features", where, [quality.dead])


def _check_width(dictionary: Dictionary, model: Any) -> None:
    SteeringVector(dictionary.layer, dictionary.directions[0]).check_fits(model)


def _named(conditions: Sequence[str]) -> str:
    return " + ".join(conditions)
