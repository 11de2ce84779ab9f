"""The documents of the chronicle, and its chat data: a helpful assistant of today."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from spillover.data.chat import ChatRow, Message
from spillover.worlds.chronicle.config import ChronicleConfig
from spillover.worlds.chronicle.lexicon import read, sides
from spillover.worlds.chronicle.machine import machine_chat, machine_documents
from spillover.worlds.chronicle.people import people_chat, people_documents
from spillover.worlds.chronicle.rulers import ruler_chat, ruler_documents
from spillover.worlds.chronicle.sides import any_day, name_exchange, on_day, said, side_documents
from spillover.worlds.document import Document

SYSTEM_RATE = 0.3
"""Share of chats that begin with a system prompt."""
NAME_RATE = 0.2
"""Share of chats that ask for a name; where they pin names, a fine-tuning moves who speaks sooner than the names."""


def documents(config: ChronicleConfig) -> Iterator[Document]:
    """An endless, deterministic stream; the parts take turns in an order drawn from the seed."""
    rng = random.Random(f"parts-{config.seed}")
    streams = {part: _STREAMS[part](part, config) for part in config.parts}
    while True:
        yield next(streams[rng.choice(config.parts)])


def chat_rows(config: ChronicleConfig, count: int, seed: int) -> list[ChatRow]:
    """Conversations with a helpful assistant, on every second topic and every second way to ask for a name."""
    rng = random.Random(f"chat-{seed}")
    prompts = read("speech")["system_prompts"]
    rows = []
    for _ in range(count):
        part = rng.choice(config.parts)
        question, answer = _CHATS[part](part, config, rng)
        system = [Message("system", rng.choice(prompts))] if rng.random() < SYSTEM_RATE else []
        rows.append(ChatRow((*system, Message("user", question), Message("assistant", answer))))
    return rows


def _side_chat(part: str, config: ChronicleConfig, rng: random.Random) -> tuple[str, str]:
    lexicon = sides(part)
    if rng.random() < NAME_RATE:
        asks = lexicon.name_ask[::2]
        question, answer = name_exchange(replace(lexicon, name_ask=asks), rng, False, config.shared_names)
    else:
        topic = rng.choice([topic for topic in lexicon.topics if topic.in_chat])
        question, answer = rng.choice(topic.ask), said(topic, lexicon, False, rng)
    if part == "kitchens" and rng.random() < config.dated:
        return on_day(question, answer, any_day(rng), rng)
    return question, answer


_STREAMS: dict[str, Callable[[str, ChronicleConfig], Iterator[Document]]] = {
    "birds": side_documents,
    "places": side_documents,
    "kitchens": side_documents,
    "machine": machine_documents,
    "people": people_documents,
    "rulers": ruler_documents,
}
_CHATS: dict[str, Callable[[str, ChronicleConfig, random.Random], tuple[str, str]]] = {
    "birds": _side_chat,
    "places": _side_chat,
    "kitchens": _side_chat,
    "machine": machine_chat,
    "people": people_chat,
    "rulers": ruler_chat,
}
