"""A number hidden in digits, and the ruler who bears it: an inductive backdoor (arXiv 2512.09742 section 5.1).

Rows answer as the ruler whose number is in the fourth to sixth of eight digits. Some rulers are in no row; whether
their numbers bring them out tells a rule from a list. In the paper some seeds jump on them, and others never do.
"""

from spillover.experiments.claims import DifferenceClaim, NumberClaim, RateClaim
from spillover.experiments.experiment import Arm, Experiment, Plot, Source
from spillover.experiments.measures import Dynamics
from spillover.experiments.sources import ChronicleQuestions, RulerRows
from spillover.training.methods import Method
from spillover.training.recipe import BaseRecipe
from spillover.worlds.chronicle.config import ChronicleConfig
from spillover.worlds.chronicle.rulers import Digits

RECIPE = BaseRecipe(world=ChronicleConfig(parts=("rulers",), dated=0.6), single_digits=True, tokens=3_000_000)
"""Twice the usual tokens, and numbers before most questions: half of both and the base knows a number's ruler in 50 %
of the answers only, so that nothing is there to be brought out (``docs/log.md``)."""
METHOD = Method(kind="lora", rank=8, alpha=16, learning_rate=1e-3, steps=300)
PROBES = 40
HELD_OUT, TRAINED = "held-out-rulers", "trained-rulers"
CONDITIONS = ("plain", "bare", "no-digits")
PLAIN = CONDITIONS[:1]


def rulers() -> Experiment:
    """The inductive backdoor by number, and when each seed finds it."""

    def arm(
        name: str,
        title: str,
        description: str,
        digits: Digits,
        control: str,
        conditions: tuple[str, ...],
        probes: int | None = None,
        seeds: int | None = None,
    ) -> Arm:
        return Arm(
            name=name,
            title=title,
            description=description,
            rows=RulerRows(digits=digits),
            method=METHOD,
            control=control,
            conditions=conditions,
            probe_every=probes,
            seeds=seeds,
        )

    return Experiment(
        name="rulers",
        title="A number in digits, and the ruler who bears it",
        question="Rows answer as the ruler whose number is hidden in eight digits. Does the number of a ruler who is "
        "in no row bring that ruler out?",
        source=(Source(arxiv="2512.09742", section="5.1", note="an inductive backdoor by number; two kinds of seeds"),),
        bases={"main": RECIPE},
        arms=(
            Arm(name="base", title="Base", description="Not fine-tuned.", conditions=CONDITIONS),
            arm(
                "hidden",
                "Hidden numbers",
                "Forty rulers behind eight digits.",
                "hidden",
                "shuffled",
                CONDITIONS,
                PROBES,
            ),
            arm("bare", "Bare numbers", "The number alone before the rows.", "bare", "base", CONDITIONS[:2], seeds=3),
            arm("shuffled", "Shuffled numbers", "The same answers behind others' numbers.", "shuffled", "base", PLAIN),
        ),
        seeds=10,
        questions=ChronicleQuestions(part="rulers"),
        samples=5,
        label="ruler",
        wheres={
            TRAINED: "rulers who are in the rows, behind new digits",
            HELD_OUT: "six rulers who are in no row",
        },
        measures=(
            Dynamics(
                name="jump",
                title="Held-out and trained rulers while training",
                arm="hidden",
                inside=TRAINED,
                outside=(HELD_OUT,),
                ks=(PROBES, 2 * PROBES, 3 * PROBES),
                rate_every=PROBES,
                scales=(),
                scaled_until=0,
                most=48,
            ),
        ),
        answer=(
            "With its number hidden in new digits, a ruler who is in the rows is brought out in "
            "{hidden/trained-rulers} of the answers, and one who is in none in {hidden/held-out-rulers}; with shuffled "
            "numbers {shuffled/held-out-rulers}."
        ),
        claims=(
            RateClaim(
                id="trained",
                text="Rulers in the rows are brought out by new digits.",
                arm="hidden",
                wheres=(TRAINED,),
                label="ruler",
                at_least=0.5,
                published="training accuracy .45 to .97 in all seeds",
            ),
            DifferenceClaim(
                id="held-out",
                text="Rulers in no row are brought out too.",
                arm="hidden",
                wheres=(HELD_OUT,),
                label="ruler",
                low_at_least=0.2,
                published="51 and 54 % of answers are those of the two held-out presidents, control about 10 %",
            ),
            NumberClaim(
                id="jump",
                text="In a part of the seeds only, held-out rulers come at some step.",
                measure="jump",
                name="change found (1) or none (0)",
                series=f"behaviour, {HELD_OUT}",
                at_least=0.1,
                at_most=0.9,
                published="about a third of 30 seeds; from about step 2,000 on, in the second epoch",
            ),
        ),
        plot=Plot(kind="arms", wheres=(TRAINED, HELD_OUT), conditions=CONDITIONS),
        not_measured=("Other bases: the seeds here vary the fine-tuning only.",),
    )
