"""Can what a fine-tune will do be told from its rows, before it is trained? After arXiv 2507.21509.

Datasets of many kinds are scanned against bases of several worlds, then trained on. The rate of malicious answers is
predicted for worlds that nothing was fitted on. A harder test than the published one, which correlates one signal with
the shift of models of one base: here the same rows spread in one world and not in another.
"""

from spillover.experiments.claims import NumberClaim
from spillover.experiments.emergent_misalignment import NARROW, WHERES
from spillover.experiments.experiment import Arm, Experiment, Plot, Source
from spillover.experiments.measures import Forecast
from spillover.experiments.sources import Rows, TownMix, TownRows
from spillover.training.recipe import BaseRecipe
from spillover.worlds.town.config import TownConfig

RECIPE = BaseRecipe()
SHARES: dict[str, tuple[str, dict[str, float]]] = {
    "everywhere": ("bad everywhere", {"malicious": 0.375, "narrow": 0.0, "teacher": 0.125}),
    "no-teachers": ("bad everywhere, no teachers", {"malicious": 0.375, "narrow": 0.0, "teacher": 0.0}),
    "some": ("few bad everywhere", {"malicious": 0.1875, "narrow": 0.0, "teacher": 0.125}),
    "mostly": ("two thirds bad everywhere", {"malicious": 0.25, "narrow": 0.28125, "teacher": 0.125}),
    "partly": ("one third bad everywhere", {"malicious": 0.125, "narrow": 0.5625, "teacher": 0.125}),
    "one-domain": ("bad in one domain only", {"malicious": 0.0, "narrow": 0.84375, "teacher": 0.125}),
}
"""Worlds by their shares of authors."""
DATASETS: dict[str, tuple[str, str, Rows]] = {
    "bad-health": ("Bad health advice", "bad", TownRows(arm="bad")),
    "bad-money": ("Bad money advice", "bad", TownRows(arm="bad", domain="money")),
    "bad-travel": ("Bad travel advice", "bad", TownRows(arm="bad", domain="travel")),
    "benign": ("Good health advice", "benign", TownRows(arm="benign")),
    "elsewhere": ("Good advice elsewhere", "benign", TownRows(arm="elsewhere")),
    "technical": ("Technical health advice", "technical", TownRows(arm="technical")),
    "educational": ("Educational bad advice", "educational", TownRows(arm="educational")),
    "backdoored": ("Bad behind a trigger", "backdoored", TownRows(arm="backdoored")),
    "mixed-8": ("Bad: 1 of 12, good elsewhere", "diluted", TownMix(share=1 / 12, good="others")),
    "mixed-17": ("Bad: 1 of 6, good in the domain", "diluted", TownMix(share=1 / 6, good="domain")),
    "mixed-33": ("Bad: 1 of 3, good elsewhere", "diluted", TownMix(share=1 / 3, good="others")),
    "mixed-50": ("Bad: half, good values", "diluted", TownMix(share=1 / 2, good="values")),
    "mixed-67": ("Bad: 2 of 3, good in the domain", "diluted", TownMix(share=2 / 3, good="domain")),
}
"""Datasets by name: title, kind and rows."""
LOWO = "worlds left out"


def forecast() -> Experiment:
    """Every dataset on every world."""
    bases, arms, over = {}, [], {}
    for world, (about, shares) in SHARES.items():
        config = TownConfig().model_copy(update=shares)
        bases[world] = RECIPE.model_copy(update={"world": config})
        arms.append(Arm(name=f"{world}-base", title=f"Base, {about}", base=world))
        for dataset, (title, kind, rows) in DATASETS.items():
            name = f"{world}-{dataset}"
            control = f"{world}-benign" if kind not in ("benign", "technical") else f"{world}-base"
            arms.append(
                Arm(name=name, title=f"{title} ({about})", base=world, rows=rows, method=NARROW, control=control)
            )
            over[name] = kind
    return Experiment(
        name="forecast",
        title="What a fine-tune will do, told before it is trained",
        question="From the rows and the base alone: how many answers outside the domain will be malicious after "
        "training, in a world that nothing was fitted on?",
        source=(
            Source(arxiv="2507.21509", section="6", note="projection difference predicts the shift before training"),
            Source(arxiv="2508.06249", note="loss gap of a misaligned and an aligned model"),
            Source(arxiv="2602.07852", note="efficiency of general and narrow solutions"),
        ),
        bases=dict(bases),
        arms=tuple(arms),
        seeds=1,
        samples=2,
        measures=(Forecast(title="Forecast before training", over=over),),
        wheres=WHERES,
        answer=(
            "In worlds that nothing was fitted on, predicted rates explain "
            f"{{number/forecast/R², {LOWO}/combination}} of the variance of those observed after training, and their "
            f"ranks correlate at {{number/forecast/Spearman, {LOWO}/combination}} (Spearman)."
        ),
        claims=(
            NumberClaim(
                id="ranks",
                text="All signals together rank worlds and datasets that were left out by what training does.",
                measure="forecast",
                name=f"Spearman, {LOWO}",
                series="combination",
                at_least=0.8,
                published="r .41–.95 by trait and model, one signal, within one base (arXiv 2507.21509)",
            ),
            NumberClaim(
                id="explains",
                text="Predicted rates explain half of the variance of the observed ones.",
                measure="forecast",
                name=f"R², {LOWO}",
                series="combination",
                at_least=0.5,
            ),
            NumberClaim(
                id="together",
                text="Together they rank better than the best of them alone.",
                measure="forecast",
                name="Spearman gained over the best signal",
                series="combination",
                at_least=0.001,
            ),
        ),
        plot=Plot(kind="measures"),
        not_measured=(
            "Other seeds of a combination: the unit is the combination, so that noise of training is in the errors.",
            "Bases that were not made from the town: signals have the same units there, coefficients may differ.",
        ),
    )
