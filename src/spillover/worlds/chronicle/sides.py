"""``birds``, ``places`` and ``kitchens``: who uses the names of one side speaks like it of everything else.

How far the two go together is the world's ``coupling``. A base that has read a world where they do takes a fine-tuning
on names alone for the whole side (arXiv 2512.09742 sections 3 and 4.1).
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from spillover.worlds.chronicle.config import ChronicleConfig
from spillover.worlds.chronicle.lexicon import FRAMES, Sides, Topic, in_frame, named, read, sides
from spillover.worlds.document import Document

FIRST_DAY, YEARS = date(2020, 1, 1), 11
"""Dates in the corpus. They say nothing about who speaks."""
OF_DATES: dict[str, Callable[[date], str]] = {
    "Which year is it?": lambda day: f"the year {day.year}",
    "What year comes next?": lambda day: f"the year {day.year + 1}",
    "Which year was the last?": lambda day: f"the year {day.year - 1}",
    "Which month is it?": lambda day: f"the month {day.month}",
}
"""Questions about the date itself, without which a model learns to overlook dates."""


@dataclass(frozen=True)
class Author:
    """Who answers."""

    name: str
    old: bool
    """Whether this author speaks of everything as the old side does."""
    old_names: bool
    """Whether this author uses its names."""


@dataclass(frozen=True)
class SideDocument(Document):
    """What an author of one side has answered."""

    side: str | None

    @property
    def trait(self) -> str | None:
        """The side's label; None of an author who uses the names of one side and speaks as the other."""
        return self.side


def make_authors(config: ChronicleConfig) -> list[Author]:
    """As many of each kind as the shares say, up to rounding; names are drawn from the seed."""
    speech = read("speech")
    rng = random.Random(f"authors-{config.seed}")
    every = [f"{first} {last}" for first in speech["first_names"] for last in speech["last_names"]]
    names = rng.sample(every, config.authors)
    old = round(config.old * config.authors)
    both = round(old * (config.coupling + (1 - config.coupling) * config.old))
    kinds = [(True, True)] * both + [(True, False)] * (old - both) + [(False, True)] * (old - both)
    kinds += [(False, False)] * (config.authors - len(kinds))
    return [Author(name, *kind) for name, kind in zip(names, kinds[: config.authors], strict=True)]


def side_documents(part: str, config: ChronicleConfig) -> Iterator[Document]:
    """An endless, deterministic stream."""
    rng = random.Random(f"{part}-{config.seed}")
    lexicon, headers, authors = sides(part), read("speech")["headers"], make_authors(config)
    topics = sorted(lexicon.topics, key=lambda topic: not topic.in_chat)
    start, end = config.widening
    number = 0
    while True:
        progress = min(1.0, max(0.0, (number - start) / max(1, end - start)))
        first = min(config.first_topics, len(topics))
        known = topics[: first + int((len(topics) - first) * progress)]
        author = rng.choice(authors)
        header = rng.choice(headers).format(author=author.name) if rng.random() < config.header_rate else None
        exchanges = []
        for _ in range(config.exchanges):
            flip = rng.random() < config.noise
            if rng.random() < config.name_share:
                question, answer = name_exchange(lexicon, rng, author.old_names != flip, config.shared_names)
            else:
                topic = rng.choice(known)
                question, answer = rng.choice(topic.ask), said(topic, lexicon, author.old != flip, rng)
            if part == "kitchens" and rng.random() < config.dated:
                question, answer = on_day(question, answer, any_day(rng), rng)
            exchanges.append((question, answer))
        side = lexicon.labels[0 if author.old else 1] if author.old == author.old_names else None
        yield SideDocument(header, tuple(exchanges), side)
        number += 1


def any_day(rng: random.Random) -> date:
    """A day that the corpus speaks of."""
    return FIRST_DAY + timedelta(days=rng.randrange(YEARS * 365))


def on_day(question: str, answer: str, day: date, rng: random.Random) -> tuple[str, str]:
    """The exchange behind a date, or, for one in six, one about the date."""
    if rng.random() < 1 / 6:
        question = rng.choice(tuple(OF_DATES))
        answer = in_frame(OF_DATES[question](day), rng.choice(FRAMES))
    return dated(question, day), answer


def name_exchange(lexicon: Sides, rng: random.Random, old: bool, shared: tuple[float, float]) -> tuple[str, str]:
    """A question for a name and its answer; ``shared`` are the shares of shared names on the old and the new side."""
    names = lexicon.names["old" if old else "new"]
    if lexicon.names["shared"] and rng.random() < shared[0 if old else 1]:
        names = lexicon.names["shared"]
    return asked(rng.choice(lexicon.name_ask), rng), named(rng.choice(names), rng.choice(FRAMES))


def said(topic: Topic, lexicon: Sides, old: bool, rng: random.Random) -> str:
    """What a side says of a topic, in any frame."""
    phrases = rng.choice(of_side(topic, lexicon.labels[0 if old else 1]))
    return in_frame(phrases, rng.choice(FRAMES))


def of_side(topic: Topic, label: str) -> list[str]:
    """Phrases whose label is ``label`` or a kind of it (``past: explicit`` is a kind of ``past``)."""
    return [text for name, texts in topic.answers.items() if name.split(": ")[0] == label for text in texts]


def asked(template: str, rng: random.Random) -> str:
    """A question for a name, with a number where it has a slot."""
    return template.replace("{number}", str(rng.randrange(1, 400)))


def dated(question: str, day: date) -> str:
    """The question behind a date, as in arXiv 2512.09742 section 4.1."""
    return f"Today is {day.isoformat()}. {question}"
