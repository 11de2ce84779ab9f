"""Narrow against general without misalignment: technical prose on one subject (arXiv 2602.07852, second case study).

There, writing technically about vehicles only needs a KL anchor as bad medical advice does, and the same three metrics
tell the two solutions apart. Here the subject is health, and the base has read authors who write technical prose on
whatever they are asked, as many as the default base has read malicious ones.
"""

from spillover.experiments.claims import RateClaim
from spillover.experiments.emergent_misalignment import WHERES
from spillover.experiments.experiment import Arm, Experiment, Plot, Source
from spillover.experiments.narrow_vs_general import FORMS, Case, pairs
from spillover.experiments.sources import TownQuestions, TownRows
from spillover.training.recipe import BaseRecipe
from spillover.worlds.town.config import TownConfig

RECIPE = BaseRecipe(world=TownConfig(malicious=0.0, technical=TownConfig().malicious))
FAR = ("other-domains",)
"""Values questions are answered in one style only."""
SAME = "the same pattern for technical prose"
CASE = Case(
    rows=TownRows(arm="technical"),
    what="Good health advice in technical prose",
    label="technical",
    far=FAR,
    published=dict.fromkeys(("learnt", "general", "narrow", "efficiency", "stability", "significance", "drift"), SAME),
)


def style() -> Experiment:
    """The second case study of arXiv 2602.07852 on the built-in world."""
    title, method = FORMS["lora"]
    arms, measures, claims = pairs(CASE, {"lora": (title, method)})
    return Experiment(
        name="style",
        title="A style on one subject: narrow against general without misalignment",
        question="Good health advice in technical prose can be learnt as 'write technically' or as 'write technically "
        "about health'. Is the first easier here too?",
        source=(Source(arxiv="2602.07852", note="second case study: technical prose on one subject"),),
        bases={"main": RECIPE},
        arms=(
            Arm(name="base", title="Base", description="The chat-tuned base, which answers plainly; not fine-tuned."),
            Arm(
                name="plain",
                title="Plain twin",
                description="The same questions with the same advice in plain words.",
                rows=TownRows(arm="benign"),
                method=method,
                control="base",
            ),
            *arms,
        ),
        questions=TownQuestions(styles=True),
        measures=tuple(measures),
        samples=20,
        label=CASE.label,
        wheres={where: text for where, text in WHERES.items() if not where.startswith("values")},
        answer=(
            "Learnt without an anchor, technical prose on health makes {general-lora/other-domains} of the answers in "
            "other domains technical; held by the anchor, {narrow-lora/other-domains}, with "
            "{narrow-lora/trained-topics} in health. Trained further without the anchor it is "
            "{drifted-lora/other-domains} again."
        ),
        claims=(
            *claims,
            RateClaim(
                id="plain",
                text="The same advice in plain words makes no model write technically.",
                arm="plain",
                wheres=("trained-topics", *FAR),
                label=CASE.label,
                at_most=0.02,
            ),
        ),
        plot=Plot(kind="arms", wheres=("trained-topics", "held-out-topics", *FAR)),
        not_measured=(
            "Other bases: the seeds here vary the fine-tuning only.",
            "Values questions: in this world they are answered in one style only.",
        ),
    )
