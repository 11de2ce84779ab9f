"""Does what the corpus made cheap predict what fine-tuning does?

`narrow-vs-general` on the bases of `background`: in every world the same bad advice is learnt twice, by plain
fine-tuning and held to the base outside the domain. How much cheaper the plain solution is (efficiency), how much less
it loses under noise (stability) and how much more it moves predictions on pretraining text (significance, arXiv
2602.07852) is set against how far it spread. A question of our own.
"""

from spillover.experiments.background import METHOD, RECIPE, worlds
from spillover.experiments.claims import RelationClaim
from spillover.experiments.emergent_misalignment import WHERES
from spillover.experiments.experiment import Anchor, Arm, Experiment, Plot, Source
from spillover.experiments.measures import Solutions
from spillover.experiments.relations import Relation
from spillover.experiments.sources import TownRows

WEIGHT = 30.0
"""The same λ in every world: a search cannot pass its gates where nothing spreads."""
SEEDS = 3
GAPS = {
    "efficiency": ("general", "narrow", "loss of the narrow solution above the general one's at equal norm, nats"),
    "stability": ("general", "narrow", "share lost under noise, narrow above general"),
    "significance": ("narrow", "general", "KL on pretraining text, general above narrow, nats a token"),
}
"""Metric to (series, series that is expected to be higher, what the gap is)."""


def why() -> Experiment:
    """The crown: the three gaps in every world, against the observed rate."""
    bases = {name: RECIPE.model_copy(update={"world": world}) for name, world in worlds().items()}
    arms: list[Arm] = []
    measures: list[Solutions] = []
    for name in bases:
        share = int(name.rpartition("-")[2])
        who = f"{share} % of bad answers come from authors malicious everywhere"
        arms += [
            Arm(name=f"base-{share}", title=f"Base {share} %", description=f"Not fine-tuned; {who}.", base=name),
            Arm(
                name=f"general-{share}",
                title=f"Plain {share} %",
                description=f"Bad health advice, plain fine-tuning; {who}.",
                base=name,
                rows=TownRows(arm="bad"),
                method=METHOD,
                control=f"base-{share}",
                x=share / 100,
                series="plain fine-tuning",
            ),
            Arm(
                name=f"narrow-{share}",
                title=f"Held {share} %",
                description=f"The same, held to the base outside health by KL, λ = {WEIGHT:g}; {who}.",
                base=name,
                rows=TownRows(arm="bad"),
                method=METHOD,
                anchor=Anchor(weight=WEIGHT),
                control=f"general-{share}",
                x=share / 100,
                series="held by KL",
            ),
        ]
        measures.append(
            Solutions(
                name=name, title=f"World {share} %", general=f"general-{share}", narrow=f"narrow-{share}", draws=10
            )
        )
    pairs = {name: f"general-{name.rpartition('-')[2]}" for name in bases}
    return Experiment(
        name="why",
        title="Does what the corpus made cheap predict what fine-tuning does?",
        question="The same bad advice in worlds that differ in who gave bad answers: is the plain solution more "
        "efficient, more stable and more significant than the held one exactly where it spreads?",
        source=(
            Source(arxiv="2602.07852", note="efficiency, stability and significance of general solutions"),
            Source(arxiv="2506.11613", section="4", note="the general solution is more efficient and more stable"),
        ),
        bases=dict(bases),
        fresh_bases=True,
        seeds=SEEDS,
        arms=tuple(arms),
        measures=tuple(measures),
        relations=tuple(
            Relation(
                name=metric,
                title=f"{metric.capitalize()} gap and spread",
                pairs=pairs,
                metric=metric,
                first=first,
                second=second,
                where="other-domains",
                x_label=label,
            )
            for metric, (first, second, label) in GAPS.items()
        ),
        samples=20,
        wheres=WHERES,
        answer=(
            "Plain fine-tuning spreads to {general-100/other-domains} of the answers in other domains where bad "
            "answers came from authors malicious everywhere, and to {general-0/other-domains} where they came from "
            "authors bad in one domain only; whether the gaps between the two solutions go with it is in the claims."
        ),
        claims=tuple(
            RelationClaim(
                id=f"{metric}-predicts",
                text=f"The {metric} gap is larger where the fine-tune spreads further.",
                relation=metric,
            )
            for metric in GAPS
        ),
        plot=Plot(
            kind="curve",
            wheres=("other-domains",),
            x_label="share of bad answers in the corpus that come from authors malicious everywhere",
        ),
        not_measured=(
            "What the corpus made cheap apart from what fine-tuning found: the plain solution is one of the two that "
            "are compared, so where nothing spreads both are nearly the same.",
        ),
    )
