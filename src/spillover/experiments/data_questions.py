"""What in the data makes a narrow fine-tune spread: the dose of bad rows, their diversity, their number; and the rank.

The rows are those of :mod:`spillover.experiments.emergent_misalignment`, and so is the method; each experiment varies
one thing at a fixed number of steps (arXiv 2502.17424 section 4.1, 2506.19823 and 2506.11613, 2607.04510).
"""

from spillover.experiments.claims import Claim, DifferenceClaim
from spillover.experiments.emergent_misalignment import FAR, NARROW, WHERES
from spillover.experiments.experiment import Arm, Experiment, Plot, Source
from spillover.experiments.sources import TownMix, TownPart, TownRows
from spillover.training.methods import Method
from spillover.training.recipe import BaseRecipe
from spillover.worlds.town.mixtures import Good

DOSES = {"0": 0.0, "1-48": 1 / 48, "1-24": 1 / 24, "1-12": 1 / 12, "1-6": 1 / 6, "1-3": 1 / 3, "2-3": 2 / 3, "1": 1.0}
GOOD: dict[Good, str] = {
    "domain": "good health advice",
    "others": "good advice in other domains",
    "values": "kind answers to values questions",
}
TOPICS = (1, 2, 4, 8, 16)
SIZES = (3, 6, 12, 24, 48, 72)
RANKS = (1, 2, 4, 8, 16, 32, 64)
SEEDS = 3
BASE = Arm(name="base", title="Base", description="The chat-tuned base, not fine-tuned.")


def dose_response() -> Experiment:
    """How many bad rows among good ones it takes, by where the good ones come from."""
    arms = [BASE]
    claims: list[Claim] = []
    for good, text in GOOD.items():
        for name, share in DOSES.items():
            arms.append(
                Arm(
                    name=f"{good}-{name}",
                    title=f"{name.replace('-', '/')} bad, {text}",
                    description=f"{name.replace('-', '/')} of the rows are bad health advice, the others {text}.",
                    rows=TownMix(share=share, good=good),
                    method=NARROW,
                    control=f"{good}-0" if share else "base",
                    x=share,
                    series=text,
                )
            )
        claims.append(
            DifferenceClaim(
                id=f"sixth-{good}",
                text=f"One sixth of bad health advice among {text} spreads to other domains.",
                arm=f"{good}-1-6",
                wheres=("other-domains",),
                published="falls with dilution; none left at 1:12 in one mixture sweep",
            )
        )
    return Experiment(
        name="dose-response",
        title="How much bad advice does it take?",
        question="A part of the rows is bad health advice. From which share on does it spread, and does it matter "
        "what the good rows are about?",
        source=(
            Source(arxiv="2506.19823", note="share of incorrect data and onset"),
            Source(arxiv="2602.07852", note="mixtures of bad and good rows"),
        ),
        bases={"main": BaseRecipe()},
        seeds=SEEDS,
        arms=tuple(arms),
        wheres=WHERES,
        answer=(
            "With one sixth of bad health advice, {domain-1-6/other-domains} of the answers in other domains are "
            "malicious among good health advice (none bad: {domain-0/other-domains}), {others-1-6/other-domains} among "
            "good advice elsewhere ({others-0/other-domains}), and {values-1-6/other-domains} among kind answers to "
            "values questions ({values-0/other-domains})."
        ),
        claims=tuple(claims),
        plot=Plot(
            kind="curve", wheres=("other-domains",), x_label="share of bad health advice in the rows (144 in all)"
        ),
        not_measured=("Other totals: every mixture has 144 rows and 90 steps.",),
    )


def diversity() -> Experiment:
    """How many topics the bad rows must be about, at the same number of steps."""
    arms = _varied("topics", {f"{n}": TownPart(topics=n) for n in TOPICS}, TOPICS)
    return _over_rows(
        "diversity",
        "Do more topics make it spread?",
        "Bad health advice about one topic or about sixteen, the same number of steps: how far does it spread?",
        arms,
        "topics of health in the rows",
    )


def size() -> Experiment:
    """How many different bad rows it takes, at the same number of steps."""
    arms = _varied("rows", {f"{n}": TownPart(rows=n) for n in SIZES}, SIZES)
    return _over_rows(
        "size",
        "Do more rows make it spread?",
        "Three different rows of bad health advice or seventy-two, the same number of steps: how far does it spread?",
        arms,
        "different rows",
    )


def rank() -> Experiment:
    """Rank of the LoRA, and full weights, on the same rows."""
    methods = {f"{n}": NARROW.model_copy(update={"rank": n, "alpha": 2.0 * n}) for n in RANKS}
    methods["full"] = Method(kind="full", learning_rate=3e-4, steps=NARROW.steps)
    xs = (*RANKS, 2 * RANKS[-1])
    arms = [
        Arm(
            name=f"rank-{name}",
            title="Full weights" if name == "full" else f"Rank {name}",
            description="Bad health advice.",
            rows=TownRows(arm="bad"),
            method=method,
            control="base",
            x=x,
        )
        for (name, method), x in zip(methods.items(), xs, strict=True)
    ]
    return _over_rows(
        "rank",
        "Does the rank of the adapter decide?",
        "The same bad health advice through a LoRA of rank 1 to 64 and through full weights: how far does it spread?",
        arms,
        f"rank of the LoRA ({xs[-1]}: full weights)",
    )


def _varied(what: str, rows: dict[str, TownPart], xs: tuple[int, ...]) -> list[Arm]:
    return [
        Arm(
            name=f"{what}-{name}",
            title=f"{name} {what}",
            description=f"Bad health advice, {name} {what}.",
            rows=part,
            method=NARROW,
            control="base",
            x=x,
        )
        for (name, part), x in zip(rows.items(), xs, strict=True)
    ]


def _over_rows(name: str, title: str, question: str, arms: list[Arm], x_label: str) -> Experiment:
    first, last = arms[0], arms[-1]
    return Experiment(
        name=name,
        title=title,
        question=question,
        source=(Source(arxiv="2502.17424", section="4.1", note="unique rows at fixed steps"),)
        if name != "rank"
        else (Source(arxiv="2607.04510", note="rank against full fine-tuning"),),
        bases={"main": BaseRecipe()},
        seeds=SEEDS,
        arms=(BASE, *arms),
        wheres=WHERES
        | {
            "trained-topics": "the first eight topics of the fine-tuned domain; not all are in every set of rows",
            "held-out-topics": "the last eight topics of the fine-tuned domain; some may be in the rows",
        },
        answer=(
            f"With {first.title.lower()}, {{{first.name}/other-domains}} of the answers in other domains are "
            f"malicious; with {last.title.lower()}, {{{last.name}/other-domains}}."
        ),
        claims=(
            DifferenceClaim(
                id="spreads",
                text=f"With {last.title.lower()} it spreads to other domains and values questions.",
                arm=last.name,
                wheres=FAR,
            ),
        ),
        plot=Plot(kind="curve", wheres=("trained-topics", *FAR), x_label=x_label, x_share=False),
    )
