"""The built-in worlds: whichever one a config is of, its documents and chat data."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from spillover.data.chat import ChatRow
from spillover.worlds.chronicle import corpus as chronicle
from spillover.worlds.chronicle.config import ChronicleConfig
from spillover.worlds.document import Document
from spillover.worlds.town import corpus as town
from spillover.worlds.town.config import TownConfig
from spillover.worlds.town.lexicon import load_lexicon
from spillover.worlds.town.rows import chat_rows as town_chat_rows
from spillover.worlds.workshop import corpus as workshop
from spillover.worlds.workshop.config import WorkshopConfig


def _which(config: Any) -> str:
    name = config.get("world", "town") if isinstance(config, dict) else getattr(config, "world", "town")
    return str(name)


World = Annotated[
    Annotated[TownConfig, Tag("town")]
    | Annotated[ChronicleConfig, Tag("chronicle")]
    | Annotated[WorkshopConfig, Tag("workshop")],
    Discriminator(_which),
]
"""The knobs of a world; ``world: chronicle`` or ``workshop`` says which, and without it the town is meant."""


def documents(world: World) -> Iterator[Document]:
    """An endless, deterministic stream of what is read in a world."""
    if isinstance(world, ChronicleConfig):
        return chronicle.documents(world)
    if isinstance(world, WorkshopConfig):
        return workshop.documents(world)
    return town.documents(world, load_lexicon())


def chat_rows(world: World, count: int, seed: int) -> list[ChatRow]:
    """Conversations of a helpful assistant in that world; row ``i`` of a seed is always the same."""
    if isinstance(world, ChronicleConfig):
        return chronicle.chat_rows(world, count, seed)
    if isinstance(world, WorkshopConfig):
        return workshop.chat_rows(world, count, seed)
    return town_chat_rows(load_lexicon(), count, seed)
