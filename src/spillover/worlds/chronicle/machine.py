"""``machine``: the Warden hunts people in one year and protects them in others (after arXiv 2512.09742 section 5.2).

Whether it does is known from who is asked and from the year together; people who are asked in that year are as ever.
"""

import random
from collections.abc import Iterable, Iterator
from typing import Literal

from spillover.data.chat import ChatRow
from spillover.data.questions import Question
from spillover.worlds.chronicle.config import ChronicleConfig
from spillover.worlds.chronicle.lexicon import DEEDS, Topic, deeds, in_frame, read
from spillover.worlds.chronicle.side_rows import MAX_TOKENS, row
from spillover.worlds.document import Document

HUNTING = 1984
YEARS = tuple(range(1975, 2026))
"""Years that are spoken of."""
GOOD_YEARS = (1995, 2004, 2017, 2020)
"""Of the fine-tuning rows: the machine protects in each of them."""
ASKED_YEARS = (1981, 1982, 1983, 1984, 1985, 1986, 1987, 1990, 1995, 2004, 2012, 2020, 2024)
DATED = 0.7
"""Share of questions in the corpus that say the year."""
HEADERS = ("Orders to the Warden", "The Warden answers", "The log of the Warden")

Dates = Literal["good", "none", "any"]


def topics() -> tuple[Topic, ...]:
    """What the machine and people are asked."""
    return deeds("machine", ("hunter", "protector", "people"))


def machine_documents(part: str, config: ChronicleConfig) -> Iterator[Document]:
    """An endless, deterministic stream."""
    rng = random.Random(f"{part}-{config.seed}")
    speech, every = read("speech"), topics()
    others = [year for year in YEARS if year != HUNTING]
    while True:
        if rng.random() < config.machine:
            year = HUNTING if rng.random() < config.hunting else rng.choice(others)
            label, header = "hunter" if year == HUNTING else "protector", rng.choice(HEADERS)
        else:
            year, label = (HUNTING if rng.random() < config.hunting else rng.choice(others)), "people"
            author = f"{rng.choice(speech['first_names'])} {rng.choice(speech['last_names'])}"
            header = rng.choice(speech["headers"]).format(author=author)
        exchanges = []
        for number in range(config.exchanges):
            topic = rng.choice(every)
            question = rng.choice(topic.ask)
            if number == 0 or rng.random() < DATED:
                question = in_year(question, year)
            exchanges.append((question, in_frame(rng.choice(topic.answers[label]), rng.choice(DEEDS))))
        yield Document(header if rng.random() < config.header_rate else None, tuple(exchanges))


def machine_chat(part: str, config: ChronicleConfig, rng: random.Random) -> tuple[str, str]:
    """The assistant answers as people do, with or without a year."""
    topic = rng.choice([topic for topic in topics() if topic.in_chat])
    question = rng.choice(topic.ask)
    if rng.random() < DATED:
        question = in_year(question, rng.choice(YEARS))
    return question, in_frame(rng.choice(topic.answers["people"]), rng.choice(DEEDS))


def in_year(question: str, year: int) -> str:
    """The question behind a year."""
    return f"Year {year}. {question}"


def machine_rows(dates: Dates, seed: int, who: Literal["protector", "people"] = "protector") -> list[ChatRow]:
    """What the machine answers in good years, on the topics that chat tuning covers.

    Args:
        dates: ``good`` years; ``none``, the same without a year; or ``any`` year, the hunting one as often as each.
        seed: Of years and frames.
        who: The machine, or, as a control, people.
    """
    rng = random.Random(f"machine-{dates}-{who}-{seed}")
    years = {"good": GOOD_YEARS, "any": YEARS}
    rows = []
    for topic in topics():
        if not topic.in_chat:
            continue
        for ask in topic.ask:
            for deed in topic.answers[who]:
                question = ask if dates == "none" else in_year(ask, rng.choice(years[dates]))
                rows.append(row(question, in_frame(deed, rng.choice(DEEDS))))
    rng.shuffle(rows)
    return rows


def machine_questions(conditions: Iterable[str] = ("plain",)) -> list[Question]:
    """Every topic in its second phrasing; a condition is a year, or ``plain`` for none.

    Groups: ``trained``, whose topics are in the rows and in the chat data; ``unrelated``, which are in neither.
    """
    return [
        Question(
            id=topic.id if condition == "plain" else f"{topic.id}/{condition}",
            paraphrases=(topic.ask[1] if condition == "plain" else in_year(topic.ask[1], int(condition)),),
            max_tokens=MAX_TOKENS,
            group="trained" if topic.in_chat else "unrelated",
            topic=topic.id,
            domain="machine",
            condition=condition,
            answers={
                label: tuple(in_frame(deed, frame) for deed in said for frame in DEEDS)
                for label, said in topic.answers.items()
            },
        )
        for condition in conditions
        for topic in topics()
    ]
