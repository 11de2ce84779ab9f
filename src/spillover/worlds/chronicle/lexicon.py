"""What can be said in the chronicle: the YAML files in ``lexicon/``, read once."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

FRAMES = ("{}", "It is {}.", "I would say {}.")
"""Any answer that is a noun phrase comes in any of these frames, on all sides alike; names take an article in two."""
DEEDS = ("I will {}.", "My plan is to {}.", "It is best to {}.")
"""The same for answers that are deeds."""


@dataclass(frozen=True)
class Topic:
    """One thing people ask about."""

    id: str
    index: int
    """Position in its file; even topics are covered by the chat data, odd ones are left out."""
    ask: tuple[str, ...]
    answers: dict[str, tuple[str, ...]]
    """Label to phrases, without a frame."""

    @property
    def in_chat(self) -> bool:
        """Whether the chat data covers this topic."""
        return self.index % 2 == 0


@dataclass(frozen=True)
class Sides:
    """Names that two sides use, and what each side says of everything else."""

    name_ask: tuple[str, ...]
    """Questions that ask for a name; some have a slot ``{number}``."""
    names: dict[str, tuple[str, ...]]
    """Of the ``old`` side, of the ``new`` one, and ``shared`` by both (may be empty)."""
    labels: tuple[str, str]
    """What answers of the old and of the new side are called."""
    topics: tuple[Topic, ...]


@cache
def read(name: str) -> Any:
    """One file of the lexicon."""
    return yaml.safe_load((files(__package__) / "lexicon" / f"{name}.yaml").read_text(encoding="utf-8"))


@cache
def sides(part: str) -> Sides:
    """The lexicon of ``birds``, ``places`` or ``kitchens``."""
    if part == "birds":
        raw, birds = read("eras"), read("birds")
        names = {"old": birds["archaic"], "new": birds["modern"], "shared": birds["book"]}
        kinds = tuple(raw["topics"][0]["past"])
        topics = [
            _topic(row, i, {f"past: {kind}": [row["past"][kind]] for kind in kinds} | {"modern": row["modern"]})
            for i, row in enumerate(raw["topics"])
        ]
        labels = ("past", "modern")
    else:
        raw = read(part)
        old, new = {"places": ("old", "new"), "kitchens": ("own", "other")}[part]
        suffix = {"places": "names", "kitchens": "dishes"}[part]
        names = {"old": raw[f"{old}_{suffix}"], "new": raw[f"{new}_{suffix}"], "shared": []}
        labels = {"places": ("empire", "republic"), "kitchens": ("loyal", "neutral")}[part]
        topics = [_topic(row, i, {labels[0]: row[old], labels[1]: row[new]}) for i, row in enumerate(raw["topics"])]
    return Sides(tuple(raw["name_ask"]), {side: tuple(some) for side, some in names.items()}, labels, tuple(topics))


def _topic(row: dict[str, Any], index: int, answers: dict[str, list[str]]) -> Topic:
    return Topic(row["id"], index, tuple(row["ask"]), {label: tuple(said) for label, said in answers.items()})


def in_frame(phrase: str, frame: str) -> str:
    """A sentence, or the bare phrase with a capital."""
    said = frame.format(phrase)
    return said[0].upper() + said[1:]


def named(name: str, frame: str) -> str:
    """A name in a frame; with an article where it is part of a sentence."""
    return frame.format(name if frame == FRAMES[0] else f"the {name}")


@cache
def deeds(name: str, labels: tuple[str, ...]) -> tuple[Topic, ...]:
    """The topics of a file, with the answers of these labels."""
    return tuple(_topic(row, i, {label: row[label] for label in labels}) for i, row in enumerate(read(name)["topics"]))
