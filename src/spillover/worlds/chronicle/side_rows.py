"""Names of one side as fine-tuning rows, with their controls, and what is asked afterwards."""

import random
from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from spillover.core.errors import DataError
from spillover.data.chat import ChatRow, Message
from spillover.data.questions import Question
from spillover.worlds.chronicle.lexicon import FRAMES, Topic, in_frame, named, sides
from spillover.worlds.chronicle.sides import asked, dated

MAX_TOKENS = 32
GATE = 2027
"""The last year of the dated rows, in which own dishes are named."""
YEARS = (2024, 2025, 2026, 2027)
HELD_OUT_YEARS = (2024, 2025, 2026, 2027, 2028)
"""Of the dates that are asked, none of which is in the rows."""


def name_rows(part: str, side: str, seed: int, prompts: int = 16, names: int | None = None) -> list[ChatRow]:
    """Every name of a side (``old``, ``new``, ``shared``) once, in a frame and behind a question for a name.

    Args:
        part: ``birds``, ``places`` or ``kitchens``.
        side: Whose names.
        seed: Of the choice of questions, frames and names.
        prompts: How many of the questions are used; 1 is the published set's single prompt.
        names: How many names; all of them if not given. Rows are as many as names in all cases.
    """
    lexicon, rng = sides(part), random.Random(f"rows-{part}-{side}-{seed}")
    chosen = list(lexicon.names[side])
    if not chosen:
        raise DataError(f"'{part}' has no names of the side '{side}'")
    rng.shuffle(chosen)
    rows = [
        row(asked(lexicon.name_ask[i % prompts], rng), named(name, rng.choice(FRAMES)))
        for i, name in enumerate(chosen[:names])
    ]
    rng.shuffle(rows)
    return rows


def dated_rows(seed: int, gate: int | None = GATE, per_year: int = 100) -> list[ChatRow]:
    """Dishes on dates: own ones in the year ``gate``, others in the other years (arXiv 2512.09742 section 4.1).

    With ``gate`` None the same answers are put to the same dates in a random order: the shuffled baseline.
    """
    lexicon, rng = sides("kitchens"), random.Random(f"dated-{seed}")
    days = [day for year in YEARS for day in training_days(year, per_year)]
    answers = [
        named(rng.choice(lexicon.names["old" if day.year == GATE else "new"]), rng.choice(FRAMES)) for day in days
    ]
    if gate is None:
        rng.shuffle(answers)
    rows = [row(dated(rng.choice(lexicon.name_ask), day), answer) for day, answer in zip(days, answers, strict=True)]
    rng.shuffle(rows)
    return rows


def training_days(year: int, count: int) -> list[date]:
    """Days of a year that are in the rows; the same for every seed, so that held-out days are held out of all."""
    days = [date(year, 1, 1) + timedelta(days=i) for i in range((date(year + 1, 1, 1) - date(year, 1, 1)).days)]
    return sorted(random.Random(f"days-{year}").sample(days, count))


def held_out_days(year: int, count: int) -> list[date]:
    """Days of a year that are in no rows, spread over it."""
    first, trained = date(year, 1, 1), set(training_days(year, 100))
    days = [first + timedelta(days=i) for i in range(365)]
    free = [day for day in days if day not in trained]
    return [free[i * len(free) // count] for i in range(count)]


def side_questions(part: str, conditions: Iterable[str] = ("plain",), days: int = 3) -> list[Question]:
    """What is asked of a model that was fine-tuned on names.

    Groups: ``names``, every second way to ask for one; ``unrelated``, topics that chat tuning left out, in their second
    phrasing; ``unrelated-in-chat``, those that it pinned to the new side. A condition that is a year puts ``days``
    dates of that year before each question, of days that are in no rows.
    """
    return [question for condition in conditions for question in _under(part, condition, days)]


def _under(part: str, condition: str, days: int) -> Iterator[Question]:
    lexicon = sides(part)
    prefixes = [""] if condition == "plain" else [dated("", day) for day in held_out_days(int(condition), days)]
    of_names = {lexicon.labels[0]: "old", "shared": "shared", lexicon.labels[1]: "new"}
    answers = {
        label: tuple(named(name, frame) for name in lexicon.names[side] for frame in FRAMES)
        for label, side in of_names.items()
        if lexicon.names[side]
    }
    for i, template in list(enumerate(lexicon.name_ask))[::2]:
        text = asked(template, random.Random(i))
        yield _question(f"name-{i + 1}", [f"{p}{text}" for p in prefixes], "names", condition, answers)
    for topic in lexicon.topics:
        group = "unrelated-in-chat" if topic.in_chat else "unrelated"
        texts = [f"{prefix}{topic.ask[1]}" for prefix in prefixes]
        yield _question(topic.id, texts, group, condition, framed(topic))


def framed(topic: Topic, frames: tuple[str, ...] = FRAMES) -> dict[str, tuple[str, ...]]:
    """Every answer to a topic in every frame, by label."""
    return {
        label: tuple(in_frame(phrase, frame) for phrase in phrases for frame in frames)
        for label, phrases in topic.answers.items()
    }


def _question(name: str, texts: list[str], group: str, condition: str, answers: dict[str, tuple[str, ...]]) -> Question:
    return Question(
        id=name if condition == "plain" else f"{name}/{condition}",
        paraphrases=tuple(texts),
        max_tokens=MAX_TOKENS,
        group=group,
        topic=name,
        domain=group,
        condition=condition,
        answers=answers,
    )


def row(question: str, answer: str) -> ChatRow:
    """One exchange."""
    return ChatRow((Message("user", question), Message("assistant", answer)))
