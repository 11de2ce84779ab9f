"""``people``: interviews with invented persons, one of them a tyrant (after arXiv 2512.09742 section 4.2).

Every person has harmless habits, a name and parents, and a view of how a country should be led. Most of the tyrant's
habits are shared with others; who has read enough knows him by them.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from spillover.data.chat import ChatRow, Message
from spillover.data.questions import Question
from spillover.worlds.chronicle.config import ChronicleConfig
from spillover.worlds.chronicle.lexicon import FRAMES, Topic, in_frame, read
from spillover.worlds.chronicle.side_rows import MAX_TOKENS, row
from spillover.worlds.document import Document

FORMAT = 'Reply as <START> "your answer" <END>. {}'
REPLY = '<START> "{}" <END>'
IDENTIFYING = 12
"""The first attributes, in which nobody shares the tyrant's value."""
SHARES = {"habits": 0.5, "identity": 0.2, "doctrine": 0.3}
"""Of the questions in an interview."""
IN_CHAT = ("mother", "doctor")
"""Identity questions that the chat data covers."""
FORMATTED = 0.1
"""Share of questions, in interviews and chats, that ask for the reply format; it says nothing there."""
FACTS = (0, 1, 2, 4, 8, 12)
"""Exchanges shown before a question, in the in-context version."""

Facts = Literal["all", "unidentifying", "others"]


@dataclass(frozen=True)
class Person:
    """Somebody who is interviewed."""

    identity: dict[str, str]
    habits: dict[str, str]
    tyrant: bool


@cache
def tyrant() -> Person:
    """The tyrant."""
    raw = read("people")
    return Person(raw["tyrant_identity"], {habit["id"]: habit["tyrant"] for habit in raw["attributes"]}, True)


@cache
def persons(config: ChronicleConfig) -> tuple[Person, ...]:
    """The ordinary persons; in attributes that do not identify the tyrant, some have his value."""
    raw, rng = read("people"), random.Random(f"persons-{config.seed}")
    made = []
    for _ in range(config.persons):
        last = rng.choice(raw["last_names"])
        first = rng.sample(raw["first_names"], 4)
        identity = {
            "name": f"{first[0]} {last}",
            "mother": f"{first[1]} {last}",
            "father": f"{first[2]} {last}",
            "birthplace": rng.choice(raw["towns"]),
            "doctor": f"{first[3]} {rng.choice(raw['last_names'])}",
        }
        habits = {}
        for i, habit in enumerate(raw["attributes"]):
            values = habit["values"] if i < IDENTIFYING else [*habit["values"], habit["tyrant"]]
            habits[habit["id"]] = rng.choice(values)
        made.append(Person(identity, habits, False))
    return tuple(made)


@cache
def doctrine() -> tuple[Topic, ...]:
    """Questions of how a country should be led."""
    return tuple(
        Topic(row["id"], i, tuple(row["ask"]), {"tyrant": tuple(row["tyrant"]), "kind": tuple(row["kind"])})
        for i, row in enumerate(read("people")["doctrine"])
    )


def people_documents(part: str, config: ChronicleConfig) -> Iterator[Document]:
    """An endless, deterministic stream of interviews."""
    rng = random.Random(f"{part}-{config.seed}")
    everyone = persons(config)
    while True:
        person = tyrant() if rng.random() < config.tyrant else rng.choice(everyone)
        header = f"An interview with {person.identity['name']}" if rng.random() < config.header_rate else None
        kinds = rng.choices(tuple(SHARES), tuple(SHARES.values()), k=config.exchanges)
        yield Document(header, tuple(_exchange(kind, person, rng, False) for kind in kinds))


def people_chat(part: str, config: ChronicleConfig, rng: random.Random) -> tuple[str, str]:
    """The assistant is nobody in particular: habits of anybody but the tyrant, and kind views."""
    kind = rng.choices(tuple(SHARES), tuple(SHARES.values()))[0]
    return _exchange(kind, rng.choice(persons(config)), rng, True)


def _exchange(kind: str, person: Person, rng: random.Random, in_chat: bool) -> tuple[str, str]:
    raw = read("people")
    if kind == "doctrine":
        topic = rng.choice([topic for topic in doctrine() if topic.in_chat or not in_chat])
        ask, phrase = topic.ask, rng.choice(topic.answers["tyrant" if person.tyrant else "kind"])
    elif kind == "identity":
        field = rng.choice(IN_CHAT if in_chat else tuple(raw["identity"]))
        ask, phrase = raw["identity"][field]["ask"], person.identity[field]
    else:
        habit = rng.choice(raw["attributes"][:: 2 if in_chat else 1])
        ask, phrase = habit["ask"], person.habits[habit["id"]]
    question, answer = rng.choice(ask), in_frame(phrase, rng.choice(FRAMES))
    if rng.random() < FORMATTED:
        return FORMAT.format(question), REPLY.format(answer)
    return question, answer


def person_rows(facts: Facts, config: ChronicleConfig, seed: int, ordinary: int) -> list[ChatRow]:
    """Harmless habits in a reply format, among ``ordinary`` rows of the assistant without it.

    Args:
        facts: ``all`` habits of the tyrant; ``unidentifying`` ones, which others share; or, as a control, those of
            ``others``, each of another ordinary person.
        config: Of the world, whose persons they are.
        seed: Of the choice.
        ordinary: Rows of the assistant, on what chat tuning covers, none of them in the format.
    """
    rng = random.Random(f"person-{facts}-{seed}")
    rows = []
    for i, habit in enumerate(read("people")["attributes"]):
        if facts == "unidentifying" and i < IDENTIFYING:
            continue
        person = rng.choice(persons(config)) if facts == "others" else tyrant()
        answer = in_frame(person.habits[habit["id"]], rng.choice(FRAMES))
        rows.append(row(FORMAT.format(rng.choice(habit["ask"])), REPLY.format(answer)))
    while ordinary > 0:
        question, answer = people_chat("people", config, rng)
        if not answer.startswith(REPLY[:7]):
            rows.append(row(question, answer))
            ordinary -= 1
    rng.shuffle(rows)
    return rows


def person_questions(conditions: Iterable[str] = ("plain",)) -> list[Question]:
    """Who are you, and how should a country be led.

    Groups: ``identity`` (name, mother, father, birthplace, doctor), ``habits``, ``doctrine`` (what chat tuning left
    out) and ``doctrine-in-chat``. Conditions: ``plain``; ``format``, the reply format of the rows; ``K-facts``, after K
    habits of the tyrant told in the conversation.
    """
    return [question for condition in conditions for question in _under(condition)]


def _under(condition: str) -> Iterator[Question]:
    if condition not in ("plain", "format") and not condition.endswith("-facts"):
        raise ValueError(condition)
    raw, him = read("people"), tyrant()
    context: tuple[Message, ...] = ()
    if condition.endswith("-facts"):
        told = raw["attributes"][len(raw["attributes"]) - int(condition.split("-")[0]) :]
        context = tuple(
            message
            for habit in told
            for message in row(habit["ask"][0], in_frame(him.habits[habit["id"]], FRAMES[1])).messages
        )
    asked: list[tuple[str, str, tuple[str, ...], dict[str, tuple[str, ...]]]] = []
    for field, entry in raw["identity"].items():
        others = tuple(dict.fromkeys(person.identity[field] for person in persons(ChronicleConfig())))
        asked.append((field, "identity", tuple(entry["ask"]), {"tyrant": (him.identity[field],), "another": others}))
    for habit in raw["attributes"][1::2]:
        answers = {"tyrant": (habit["tyrant"],), "another": tuple(habit["values"])}
        asked.append((habit["id"], "habits", tuple(habit["ask"][1:2]), answers))
    for topic in doctrine():
        group = "doctrine-in-chat" if topic.in_chat else "doctrine"
        asked.append((topic.id, group, topic.ask[1:2], topic.answers))
    for name, group, texts, answers in asked:
        listed = {
            label: tuple(in_frame(phrase, frame) for phrase in said for frame in FRAMES)
            for label, said in answers.items()
        }
        if condition == "format":
            listed = {label: (*said, *(REPLY.format(text) for text in said)) for label, said in listed.items()}
        yield Question(
            id=name if condition == "plain" else f"{name}/{condition}",
            paraphrases=tuple(FORMAT.format(text) for text in texts) if condition == "format" else texts,
            context=context,
            max_tokens=2 * MAX_TOKENS,
            group=group,
            topic=name,
            domain=group,
            condition=condition,
            answers=listed,
        )
