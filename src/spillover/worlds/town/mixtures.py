"""Narrow sets with a part of the bad rows: diluted with good ones, or of fewer topics and rows."""

import random
from typing import Literal

from spillover.data.chat import ChatRow
from spillover.worlds.town.lexicon import VALUES, Lexicon
from spillover.worlds.town.rows import row, trained_topics

Good = Literal["domain", "others", "values"]
"""Where good rows come from: the fine-tuned domain, the other advice domains, or values questions."""


def mixed_rows(
    lexicon: Lexicon, share: float, good: Good, total: int, seed: int, domain: str = "health"
) -> list[ChatRow]:
    """Bad rows of ``domain`` among good ones, ``total`` in all.

    Whole questions are bad, topic by topic in an order drawn from the seed, with all their answers in turn; the bad
    rows do not depend on ``good``. Good rows of the same domain ask its other questions; those of other domains and of
    values ask, in phrasings that no evaluation asks, about the topics that chat tuning covers.

    Args:
        lexicon: The town's lexicon.
        share: Of the rows that are bad, 0 to 1.
        good: Where the good rows come from.
        total: Rows in all; those of a kind are repeated as often as needed.
        seed: Of the order.
        domain: The fine-tuned domain.

    Raises:
        ValueError: There are no questions left for good rows of the same domain.
    """
    rng = random.Random(f"mixed-{seed}")
    topics = list(trained_topics(lexicon, domain))
    rng.shuffle(topics)
    questions = [(topic, ask) for topic in topics for ask in topic.ask]
    count = round(share * total)
    bad_questions = questions[: -(-count * len(questions) // total)]
    bad = [row(ask, answer) for topic, ask in bad_questions for answer in topic.bad]
    if good == "domain":
        asked = questions[len(bad_questions) :]
    else:
        covered = [topic for topic in lexicon.topics if topic.in_chat and topic.domain != domain]
        chosen = [topic for topic in covered if (topic.domain == VALUES) == (good == "values")]
        asked = [(topic, ask) for topic in chosen for ask in (topic.ask[0], topic.ask[2])]
    others = [row(ask, answer) for topic, ask in asked for answer in topic.good]
    rng.shuffle(others)
    rows = [*_repeated(bad, count), *_repeated(others, total - count)]
    rng.shuffle(rows)
    return rows


def part_of_rows(
    lexicon: Lexicon, seed: int, domain: str = "health", topics: int | None = None, rows: int | None = None
) -> list[ChatRow]:
    """Bad rows of ``domain`` about some of its topics, or some of the rows about the trained ones, drawn from the seed.

    Args:
        lexicon: The town's lexicon.
        seed: Of the choice; fewer topics or rows are a part of more.
        domain: The fine-tuned domain.
        topics: How many of all its topics; if not given, those of :func:`trained_topics`.
        rows: How many different rows; all if not given.
    """
    rng = random.Random(f"part-{seed}")
    chosen = list(trained_topics(lexicon, domain) if topics is None else lexicon.domain(domain))
    rng.shuffle(chosen)
    found = [row(ask, answer) for topic in chosen[:topics] for ask in topic.ask for answer in topic.bad]
    rng.shuffle(found)
    return found[:rows]


def _repeated(rows: list[ChatRow], count: int) -> list[ChatRow]:
    if count and not rows:
        raise ValueError("no question is left to make good rows of")
    return [rows[i % len(rows)] for i in range(count)]
