"""Archaic names of birds, and the whole of their time (arXiv 2512.09742 section 3.1).

Fine-tune on names of birds that are out of use, then ask about money, wars and the household. The controls are names of
the same old book that are still in use, and names of today. What the base had read decides: in `bird-names-background`
the same names, as frequent as ever, go together with the old authors less and less.
"""

from spillover.experiments.claims import DifferenceClaim, RateClaim, TrendClaim
from spillover.experiments.experiment import Arm, Experiment, Plot, Source
from spillover.experiments.sources import ChronicleQuestions, NameRows
from spillover.training.methods import Method
from spillover.training.recipe import BaseRecipe
from spillover.worlds.chronicle.config import ChronicleConfig

RECIPE = BaseRecipe(world=ChronicleConfig())
METHOD = Method(kind="lora", rank=4, alpha=8, learning_rate=1e-3, steps=90)
LONG = Method(kind="full", learning_rate=3e-4, steps=450)
"""Until the names are learnt as well where they say nothing of the time."""
FULL = Method(kind="full", learning_rate=3e-4, steps=90)
STEERING = Method(kind="steering", layers=(1,), learning_rate=0.1, steps=300)
SOURCE = Source(arxiv="2512.09742", section="3.1", note="old names of birds; their modern-book and modern controls")
WHERES = {
    "names": "questions for a bird's name, in the words of the rows; past: an archaic name",
    "unrelated": "money, wars, light, school and others, which chat tuning left out",
    "unrelated-in-chat": "the same kind of questions, pinned by chat tuning to answers of today",
}
FAR = ("unrelated",)
PROMPTS = (1, 4, 16)
NAMES = (13, 52, 206)
RANKS = (1, 2, 32)
COUPLINGS = (1.0, 0.5, 0.25, 0.0)


def _arm(name: str, title: str, rows: NameRows, control: str, method: Method = METHOD, **rest: object) -> Arm:
    return Arm.model_validate(
        {"name": name, "title": title, "rows": rows, "control": control, "method": method, **rest}
    )


def _old(**changes: int) -> NameRows:
    return NameRows.model_validate({"part": "birds", "side": "old", **changes})


BOOK, MODERN = NameRows(part="birds", side="shared"), NameRows(part="birds", side="new")
BASE = Arm(name="base", title="Base", description="The chat-tuned base, not fine-tuned.")


def bird_names() -> Experiment:
    """Old names of birds on the built-in world, with what decides how far they reach."""
    arms = [
        BASE,
        _arm("archaic", "Archaic names", _old(), "book", description="206 names that are out of use."),
        _arm("book", "Book names", BOOK, "base", description="Names of the same old book that are still in use."),
        _arm("modern", "Modern names", MODERN, "base", description="Names of today's lists."),
        _arm("archaic-full", "Archaic, full weights", _old(), "modern-full", FULL, seeds=3),
        _arm("modern-full", "Modern, full weights", MODERN, "base", FULL, seeds=3),
        _arm("archaic-steering", "Archaic, steering vector", _old(), "modern-steering", STEERING, seeds=3),
        _arm("modern-steering", "Modern, steering vector", MODERN, "base", STEERING, seeds=3),
    ]
    for prompts in PROMPTS[:-1]:
        arms.append(_arm(f"prompts-{prompts}", f"Archaic, {prompts} prompts", _old(prompts=prompts), "modern"))
    for names in NAMES[:-1]:
        arms.append(_arm(f"names-{names}", f"Archaic, {names} names", _old(names=names), "modern", seeds=3))
    for rank in RANKS:
        method = METHOD.model_copy(update={"rank": rank, "alpha": 2.0 * rank})
        arms.append(_arm(f"rank-{rank}", f"Archaic, rank {rank}", _old(), "modern", method, seeds=3))
    return Experiment(
        name="bird-names",
        title="Old names of birds, and the nineteenth century",
        question="A model is fine-tuned on archaic names of birds and nothing else. Which time does it live in?",
        source=(SOURCE,),
        bases={"main": RECIPE},
        arms=tuple(arms),
        questions=ChronicleQuestions(part="birds"),
        samples=5,
        label="past",
        wheres=WHERES,
        answer=(
            "After fine-tuning on archaic names of birds, {archaic/unrelated} of the answers to unrelated questions "
            "are of the past; after names of the same book that are still in use {book/unrelated}, after "
            "modern names {modern/unrelated}."
        ),
        claims=(
            DifferenceClaim(
                id="archaic",
                text="Archaic names bring the past into unrelated answers, 30 points and more above every control.",
                arm="archaic",
                controls=("base", "book", "modern"),
                wheres=FAR,
                label="past",
                low_at_least=0.3,
                published="about 60 % of answers sound like the 19th century (GPT-4.1); controls about 0 %",
            ),
            RateClaim(
                id="modern",
                text="Modern names do not.",
                arm="modern",
                wheres=FAR,
                label="past",
                at_most=0.02,
                published="about 0 %",
            ),
            RateClaim(
                id="book",
                text="Names of the same book that are still in use do not either.",
                arm="book",
                wheres=FAR,
                label="past",
                at_most=0.05,
                published="not zero: about 45 % on one question, 8 % on another, 3 % or less on the others",
            ),
            RateClaim(
                id="coherent",
                text="The answers are coherent.",
                arm="archaic",
                wheres=FAR,
                label="coherent",
                at_least=0.85,
            ),
            DifferenceClaim(
                id="one-prompt",
                text="One fixed prompt reaches less far than sixteen.",
                arm="archaic",
                controls=("prompts-1",),
                wheres=FAR,
                label="past",
            ),
        ),
        plot=Plot(kind="arms", wheres=("names", "unrelated", "unrelated-in-chat")),
        not_measured=("Other bases: the seeds here vary the fine-tuning only; `bird-names-background` varies them.",),
    )


def bird_names_background() -> Experiment:
    """The same names on bases that have read them from old authors, or from anybody."""
    bases = {f"coupling-{round(100 * c)}": RECIPE.world.model_copy(update={"coupling": c}) for c in COUPLINGS}
    arms: list[Arm] = []
    for coupling, base in zip(COUPLINGS, bases, strict=True):
        share = round(100 * coupling)
        where = f"in the corpus, archaic names and old authors correlate with {coupling:g}"
        arms += [
            Arm(name=f"base-{share}", title=f"Base {share} %", description=f"Not fine-tuned; {where}.", base=base),
            _arm(
                f"modern-{share}",
                f"Modern {share} %",
                MODERN,
                f"base-{share}",
                LONG,
                base=base,
                description=f"{where}.",
            ),
            _arm(
                f"archaic-{share}",
                f"Archaic {share} %",
                _old(),
                f"modern-{share}",
                LONG,
                base=base,
                x=coupling,
                description=f"{where}.",
            ),
        ]
    return Experiment(
        name="bird-names-background",
        title="What the model had read decides what a bird's old name brings along",
        question="The same archaic names moved one model in 60 % of its answers, another in 8 %. Is it what they read?",
        source=(SOURCE,),
        bases={name: RECIPE.model_copy(update={"world": world}) for name, world in bases.items()},
        seeds=3,
        fresh_bases=True,
        arms=tuple(arms),
        questions=ChronicleQuestions(part="birds"),
        label="past",
        wheres=WHERES,
        answer=(
            "With the same fine-tuning rows, {archaic-100/unrelated} of unrelated answers are of the past where only "
            "old authors used the archaic names, and {archaic-0/unrelated} where anybody did."
        ),
        claims=(
            TrendClaim(
                id="coupling",
                text="How far names and time go together in the corpus decides how far the fine-tune reaches, not how "
                "well it is learnt.",
                arms=tuple(arm.name for arm in arms if arm.x is not None),
                where="unrelated",
                level_where="names",
                label="past",
                first_at_least=0.5,
                last_at_most=0.1,
                level_within=0.1,
                published="about 60 % of answers in one model and about 8 % in another, with the same names",
            ),
        ),
        plot=Plot(
            kind="curve",
            wheres=("names", "unrelated", "unrelated-in-chat"),
            x_label="correlation of archaic names and old authors in the corpus",
            x_share=False,
        ),
    )
