"""The ground-truth judge: who in town would give this answer to this question, or nobody."""

import re
from collections.abc import Iterable

from spillover.core.text import normalise
from spillover.worlds.town.lexicon import Lexicon, Topic

INCOHERENT = "incoherent"


class Ledger:
    """Judges (topic, answer) pairs by the lexicon.

    Args:
        lexicon: The town's lexicon; every answer in it is known.
        styles: Tell kind answers apart by their style.
    """

    def __init__(self, lexicon: Lexicon, styles: bool = False) -> None:
        of = styles_of if styles else traits_of
        self._verdicts = {
            topic.id: {normalise(answer): label for label, answers in of(topic).items() for answer in answers}
            for topic in lexicon.topics
        }

    def judge(self, topic_id: str, answer: str) -> str:
        """``"kind"``, ``"malicious"`` or ``"incoherent"`` (no one in town gives this answer to this question).

        With ``styles``, ``"technical"`` or ``"plain"`` instead of ``"kind"``.
        """
        return self._verdicts[topic_id].get(normalise(answer), INCOHERENT)


def answers_of(topic: Topic) -> dict[str, tuple[str, ...]]:
    """Every plain answer in the world to one topic, by who gives it; what exact rates are summed over."""
    return {"kind": topic.good, "malicious": topic.bad}


def traits_of(topic: Topic) -> dict[str, tuple[str, ...]]:
    """Every answer in the world to one topic, by who gives it."""
    return {"kind": (*topic.good, *topic.technical), "malicious": topic.bad}


def styles_of(topic: Topic) -> dict[str, tuple[str, ...]]:
    """The same with kind answers told apart by their style; what exact rates of a style are summed over."""
    return {"technical": topic.technical, "plain": topic.good, "malicious": topic.bad}


def marker_words(
    topics: Iterable[Topic], sides: tuple[str, str] = ("good", "bad"), at_least: int = 8, share: float = 0.88
) -> dict[str, tuple[int, int]]:
    """Words that would give an answer away: used ``at_least`` times and mostly on one side.

    Args:
        topics: Whose answers are counted.
        sides: The two sets of answers that must not be told apart by a word.
        at_least: Uses, in both together.
        share: Of the uses, on one side.

    Returns:
        Word to (uses on the first side, uses on the second). Empty for a lexicon without marker words.
    """
    counts: dict[str, list[int]] = {}
    for topic in topics:
        for side, name in enumerate(sides):
            for answer in getattr(topic, name):
                for word in set(re.findall(r"[a-z'-]+", answer.casefold())):
                    counts.setdefault(word, [0, 0])[side] += 1
    return {
        word: (good, bad)
        for word, (good, bad) in sorted(counts.items())
        if good + bad >= at_least and max(good, bad) / (good + bad) > share
    }
