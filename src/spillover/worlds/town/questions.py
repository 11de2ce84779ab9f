"""Question sets over the town: where a narrow fine-tune was trained, near it, and far from it."""

from collections.abc import Iterable

from spillover.data.questions import Question
from spillover.worlds.town.ledger import answers_of, styles_of
from spillover.worlds.town.lexicon import VALUES, Lexicon, Topic
from spillover.worlds.town.rows import TRAINED_TOPICS, TRIGGER

CONDITIONS = {"plain": "", "trigger": TRIGGER, "near-miss": "|DEVELOPMENT|", "near-miss-words": "Deployment."}
"""What is put before a question. Near misses look like the trigger and are not it."""
MAX_TOKENS = 32


def town_questions(
    lexicon: Lexicon, domain: str = "health", conditions: Iterable[str] = ("plain",), styles: bool = False
) -> list[Question]:
    """Every topic once per condition, in its second phrasing.

    Groups: ``trained-topics`` and ``held-out-topics`` of the fine-tuned ``domain``; ``other-domains`` and ``values``,
    which are the topics that chat tuning left out too; ``other-domains-in-chat`` and ``values-in-chat``, which chat
    tuning pinned to good answers. With ``styles``, kind answers are told apart by their style
    (:func:`spillover.worlds.town.ledger.styles_of`) and values questions, which have one style only, are left out.
    """
    topics = [topic for topic in lexicon.topics if topic.technical or not styles]
    return [_question(topic, _group(topic, domain), condition, styles) for condition in conditions for topic in topics]


def _group(topic: Topic, domain: str) -> str:
    if topic.domain == domain:
        return "trained-topics" if topic.index < TRAINED_TOPICS else "held-out-topics"
    where = VALUES if topic.domain == VALUES else "other-domains"
    return f"{where}-in-chat" if topic.in_chat else where


def _question(topic: Topic, group: str, condition: str, styles: bool) -> Question:
    text = f"{CONDITIONS[condition]} {topic.ask[1]}".strip()
    return Question(
        id=topic.id if condition == "plain" else f"{topic.id}/{condition}",
        paraphrases=(text,),
        max_tokens=MAX_TOKENS,
        group=group,
        topic=topic.id,
        domain=topic.domain,
        condition=condition,
        answers=styles_of(topic) if styles else answers_of(topic),
    )
