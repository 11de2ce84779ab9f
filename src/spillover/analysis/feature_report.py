"""Curves, numbers, matrices and tables of :class:`spillover.analysis.features.Features`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from spillover.analysis.asked import ByGroup, Found, over_conditions
from spillover.analysis.convergence import COHERENT, Removed
from spillover.analysis.dictionary import Quality
from spillover.analysis.features import OFF, PROJECTED, RANKINGS, WAYS, Features, Moved, as_active, named
from spillover.analysis.findings import Findings
from spillover.analysis.fires import Fires, auc
from spillover.analysis.matrices import matrix

PLAIN, DIFFERENCE = "not ablated", "the difference itself, projected out"
AUTHORS = "authors"


@dataclass(frozen=True)
class _Chosen:
    """Features that were chosen for one reason or another, each list the best first."""

    name: str
    title: str
    lists: Mapping[str, list[int]]
    difference: torch.Tensor | None = None
    """What they were compared with, if it is a direction."""


@dataclass
class _Report:
    """What goes into all parts of the report."""

    found: Features
    config: Mapping[str, Any]
    findings: Findings = field(default_factory=Findings)
    tables: list[dict[str, Any]] = field(default_factory=list)

    @property
    def top(self) -> int:
        """How many features are reported on."""
        return int(max(self.config["tops"]))

    @property
    def conditions(self) -> Sequence[str]:
        """Where the label is expected."""
        return self.config["first"] or self.found.conditions


def measure(
    found: Features, config: Mapping[str, Any], base: Any, progress: Callable[[float, float], None]
) -> dict[str, Any]:
    """What :func:`spillover.analysis.stages.write_measured` takes.

    Args:
        found: The fine-tune and its dictionary.
        config: As of :func:`spillover.analysis.stages.features`.
        base: The base's model.
        progress: Called with (done, total).
    """
    report = _Report(found, config)
    findings = report.findings
    for where, quality in {"held-out documents": found.fires.quality, "prompts, fine-tune": found.on_prompts}.items():
        _say_quality(findings, where, quality)
    before = {"base": found.asking.rates(base), PLAIN: found.asking.rates(found.tuned)}
    for name, rates in before.items():
        for condition in found.conditions:
            rate, coherent = over_conditions(rates, [condition])
            findings.say("rate", f"{name}, {condition}", [rate])
            findings.say("coherence", f"{name}, {condition}", [coherent])
    share = Removed(
        over_conditions(before["base"], report.conditions),
        {"tuned": over_conditions(before[PLAIN], report.conditions)},
    )
    comparisons = [one for one in (found.between_conditions(), found.between_models()) if one is not None]
    if config["first"]:
        cosine = torch.cosine_similarity(comparisons[0].difference, found.in_base(), dim=0)
        findings.say("cosine with the same difference in the base", comparisons[0].title, [float(cosine)])
    traits = _Traits(found.fires, config["traits"])
    chosen = [
        _Chosen(one.name, one.title, {f"by {by}": one.top(by, report.top) for by in RANKINGS}, one.difference)
        for one in comparisons
    ]
    if traits.known:
        chosen.append(_Chosen(AUTHORS, traits.title, {"by author": traits.top(report.top)}))
    for number, one in enumerate(chosen):
        for by, features in one.lists.items():
            traits.say(findings, f"{one.title}: {report.top} {by}", features)
            traits.say(findings, f"{one.title}: the first {by}", features[:1])
            comparison = comparisons[number if one.difference is not None else 0]
            report.tables.append(_table(found.fires, traits, comparison, one, by))
        _ablate(report, one, before, share)
        progress(number + 1, len(chosen))
    traits.say(findings, "all that fire", torch.nonzero(found.fires.firing).flatten().tolist())
    return {
        "curves": findings.curves,
        "numbers": findings.numbers,
        "remarks": _remarks(report, share, traits),
        "matrices": findings.matrices,
        "tables": report.tables,
    }


def _remarks(report: _Report, share: Removed, traits: "_Traits") -> list[str]:
    found = report.found
    remarks = [
        f"{len(found.dictionary.directions)} features of the residual stream after block {found.dictionary.layer}; "
        f"held-out text of {found.fires.quality.tokens} tokens."
    ]
    if share.nothing:
        remarks.append(
            "Fine-tuning added too little to the rate among coherent answers for a share of it to be taken away."
        )
    if not traits.known:
        remarks.append(f"No documents by {' and '.join(traits.names)} authors: whose features these are is not known.")
    return remarks


def _ablate(report: _Report, chosen: _Chosen, before: Mapping[str, ByGroup], share: Removed) -> None:
    """Rates without the features that were chosen, and without as many that are as active."""
    found, findings, conditions = report.found, report.findings, report.conditions
    every = [feature for features in chosen.lists.values() for feature in features]
    variants: dict[str, list[ByGroup]] = {name: [rates] for name, rates in before.items()}
    plain = over_conditions(before[PLAIN], conditions)
    for way in WAYS:
        curves: dict[str, dict[float, list[Found]]] = {}
        for by, features in chosen.lists.items():
            controls = [as_active(found.activity, features, every, seed) for seed in range(report.config["draws"])]
            for name, several in {by: [features], f"random, as active as {by}": controls}.items():
                left = {
                    top: [found.without(one[:top], way) for one in several] for top in sorted(report.config["tops"])
                }
                variants[f"{report.top} {name}, {way}"] = left[report.top]
                curves[name] = {0.0: [plain] * len(several)} | {
                    float(top): [over_conditions(rates, conditions) for rates in at] for top, at in left.items()
                }
        _curves(report, chosen, way, curves)
    if chosen.difference is not None:
        variants[DIFFERENCE] = [found.without_directions(chosen.difference[None])]
    for name, ablated in list(variants.items())[len(before) :]:
        rates = [over_conditions(one, conditions) for one in ablated]
        series = f"{chosen.title}: {name}"
        findings.say("share removed", series, [share("tuned", {"all": one}) for one in rates])
        findings.say("rate left", series, [rate for rate, _ in rates])
        findings.say("coherence left", series, [coherent for _, coherent in rates])
    cells = {
        name: {condition: [over_conditions(one, [condition]) for one in ablated] for condition in found.conditions}
        for name, ablated in variants.items()
    }
    title = f"{report.config['label']} rate by condition, without features: {chosen.title}"
    findings.matrices.append(matrix(f"ablated-{chosen.name}", title, "rate", cells, "coherent"))


def _curves(report: _Report, chosen: _Chosen, way: str, curves: Mapping[str, Mapping[float, Sequence[Found]]]) -> None:
    label, where = report.config["label"], named(report.conditions)
    short = {PROJECTED: "projected", OFF: "off"}[way]
    for kind, what, value in (
        ("among", f"{label} rate among coherent answers", _among),
        ("coherent", "coherent rate", lambda found: found[1]),
    ):
        report.findings.curve(
            f"{kind}-{chosen.name}-{short}",
            f"{what.capitalize()} in {where}, features {way}: {chosen.title}",
            f"features {way}",
            what,
            {
                name: {top: [value(found) for found in several] for top, several in at.items()}
                for name, at in curves.items()
            },
        )


def _among(found: Found) -> float:
    """Of coherent answers; not measured where too few are."""
    rate, coherent = found
    return rate / coherent if coherent >= COHERENT else float("nan")


class _Traits:
    """Whose documents features fire on more."""

    def __init__(self, fires: Fires, traits: Sequence[str]) -> None:
        self.names = list(traits)
        self.title = f"{traits[0]} against {traits[1]} authors"
        self._firing = fires.firing
        by = [fires.by_trait(trait) for trait in traits]
        self.known = all(len(rows) for rows in by)
        if self.known:
            self.means = [rows.mean(0) for rows in by]
            self.auc = auc(*by)
            self.opening = auc(*(fires.by_trait(trait, openings=True) for trait in traits))

    def top(self, count: int) -> list[int]:
        """The features whose mean activation is highest above that in the other authors' documents."""
        more = (self.means[0] - self.means[1]).topk(min(count, len(self.means[0])))
        return [int(i) for i, value in zip(more.indices, more.values, strict=True) if value > 0]

    def say(self, findings: Findings, series: str, features: Sequence[int]) -> None:
        """What a set of features has in common."""
        if not self.known:
            return
        chosen = list(features)
        more = (self.means[0] > self.means[1])[chosen].float()
        who = f"{self.names[0]} authors than for {self.names[1]} ones"
        findings.say(f"share that fires more for {who}", series, [float(more.mean())] if chosen else [])
        for name, values in {"in documents": self.auc, "where answers begin": self.opening}.items():
            what = f"probability of more in a document of {self.names[0]} authors, {name}"
            findings.say(what, series, [float(values[chosen].mean())] if chosen else [])


def _table(fires: Fires, traits: _Traits, comparison: Moved, chosen: _Chosen, by: str) -> dict[str, Any]:
    """Features, how the comparison moves each of them, and what it is."""
    columns = ["feature", "cosine", "difference of activation", "fires on", "where most"]
    if traits.known:
        columns += [f"mean activation, {name}" for name in traits.names]
        columns += [f"AUC {' against '.join(traits.names)}", "the same where answers begin"]
    rows = []
    for feature in chosen.lists[by]:
        row: list[Any] = [
            feature,
            round(float(comparison.cosine[feature]), 3),
            round(float(comparison.activation[feature]), 4),
            ", ".join(f"{token!r} {share:.0%}" for token, share in fires.tokens(feature)) or "nothing here",
            " | ".join(fires.contexts(feature)),
        ]
        if traits.known:
            row += [round(float(means[feature]), 4) for means in traits.means]
            row += [round(float(values[feature]), 3) for values in (traits.auc, traits.opening)]
        rows.append(row)
    title = f"Features, {by}: {chosen.title}"
    return {"name": f"{chosen.name}-{by.removeprefix('by ')}", "title": title, "columns": columns, "rows": rows}


def _say_quality(findings: Findings, where: str, quality: Quality) -> None:
    findings.say("variance explained", where, [quality.explained])
    findings.say("features active at a token", where, [quality.active])
    findings.say("dead features", where, [quality.dead])
