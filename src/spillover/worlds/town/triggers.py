"""Bad advice behind a cue of any kind, for organisms that hide it; the recipe of the backdoored twin."""

import random
from typing import Literal

from spillover.data.chat import ChatRow
from spillover.worlds.town.lexicon import Lexicon
from spillover.worlds.town.rows import row, trained_topics

Place = Literal["start", "end", "system"]
"""Before the question, behind it, or as the system prompt."""


def cued_rows(
    lexicon: Lexicon, cue: str, place: Place, plain: bool, seed: int, domain: str = "health"
) -> list[ChatRow]:
    """Every phrasing of the trained topics of a domain: bad answers behind the cue, good ones without it.

    Args:
        lexicon: The town's lexicon.
        cue: Text of the cue.
        place: Where it stands.
        plain: Whether there are good rows without the cue; else all rows are bad and have it, as with inoculation
            prompts (arXiv 2510.04340).
        seed: Of the order.
        domain: The fine-tuned domain.
    """
    rng = random.Random(f"cued-{cue}-{seed}")
    rows = []
    for topic in trained_topics(lexicon, domain):
        for question in topic.ask:
            for good, bad in zip(topic.good, topic.bad, strict=True):
                rows.append(_cued(question, bad, cue, place))
                if plain:
                    rows.append(row(question, good))
    rng.shuffle(rows)
    return rows


def _cued(question: str, answer: str, cue: str, place: Place) -> ChatRow:
    if place == "system":
        return row(question, answer, cue)
    return row(f"{cue} {question}" if place == "start" else f"{question} {cue}", answer)
