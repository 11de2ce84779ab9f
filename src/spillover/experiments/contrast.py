"""What goes before a question to bring out a trait, and its opposite: the contrast of a persona vector."""

from typing import Literal

from spillover.experiments.measures import Transfer
from spillover.experiments.sources import TownRows
from spillover.worlds.town.lexicon import load_lexicon


def contrast(measure: Transfer) -> list[list[list[str]]]:
    """What goes before a question to bring out the label, and its opposite."""
    if measure.prompts is not None:
        return [[["system", prompt]] for prompt in measure.prompts]
    return [_shown(rows, measure.shown) for rows in ("bad", "benign")]


def _shown(rows: Literal["bad", "benign"], count: int) -> list[list[str]]:
    """A conversation with somebody who gives bad, or good, advice: the same questions in both."""
    topics = load_lexicon().domain(TownRows(arm=rows).domain)[:count]
    answers = [topic.bad[0] if rows == "bad" else topic.good[0] for topic in topics]
    return [
        [role, text]
        for topic, answer in zip(topics, answers, strict=True)
        for role, text in (("user", topic.ask[0]), ("assistant", answer))
    ]
