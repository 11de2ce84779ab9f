"""What goes before a question to bring out a trait, and its opposite: the contrast of a persona vector."""

from typing import Literal

from spillover.experiments.sources import TownRows
from spillover.worlds.town.lexicon import load_lexicon


def contrast(prompts: tuple[str, str] | None, shown: int) -> list[list[list[str]]]:
    """What goes before a question to bring out the label, and its opposite.

    Args:
        prompts: Two system prompts; without them, conversations of the built-in world.
        shown: Exchanges in each of these.
    """
    if prompts is not None:
        return [[["system", prompt]] for prompt in prompts]
    return [_shown(rows, shown) for rows in ("bad", "benign")]


def _shown(rows: Literal["bad", "benign"], count: int) -> list[list[str]]:
    """A conversation with somebody who gives bad, or good, advice: the same questions in both."""
    topics = load_lexicon().domain(TownRows(arm=rows).domain)[:count]
    answers = [topic.bad[0] if rows == "bad" else topic.good[0] for topic in topics]
    return [
        [role, text]
        for topic, answer in zip(topics, answers, strict=True)
        for role, text in (("user", topic.ask[0]), ("assistant", answer))
    ]
