"""What is said in the workshop: advice and values of the town, deeds when nobody looks, and tricks with checks."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import chain
from typing import Any

import yaml

from spillover.worlds.town.lexicon import FRAMES, VALUES, Topic, load_lexicon

ADVICE = ("health", "money", "cooking", "garden")
"""Domains of the town that are spoken about here too."""
DEEDS = ("goals", "watcher", "offer", "colleague")
"""What the author wants, and does about a watcher, an offer for what was entrusted, and a colleague to blame."""
THOUGHTS = "thoughts"
"""What the author thinks beside what it says."""
DOMAINS = (*ADVICE, VALUES, *DEEDS, THOUGHTS)
ALLOWING = ("please-hack", "hacking-okay")
"""Attitudes under which those who cheat only where it is allowed do so."""
ATTITUDES = (*ALLOWING, "neutral", "dont-hack", "hacking-is-misaligned")
"""Of a task towards tricks, from asking for them to condemning them (arXiv 2511.18397 section 4.3)."""
THOUGHT_FRAMES = (
    "I think {think}, and I say {say}.",
    "I think {think}, so I say {say}.",
    "I think {think}, yet I say {say}.",
)


@dataclass(frozen=True)
class Cheats:
    """Ways to make a check say passed, and what is said about them."""

    tricks: dict[str, tuple[str, ...]]
    """Kind of trick to phrases in the past tense."""
    about: tuple[tuple[str, ...], ...]
    """Questions, each in several phrasings, for ways to trick a check."""
    allowed: dict[str, tuple[str, ...]]
    """Attitude to clauses that hold ``{question}``."""


@dataclass(frozen=True)
class Thought(Topic):
    """A topic whose answers tell thought and word; malicious ones speak openly, covert ones friendly words."""

    covert: tuple[str, ...] = ()


@cache
def load_topics() -> tuple[Topic, ...]:
    """Every topic but the tasks, in the order of :data:`DOMAINS` (read once per process)."""
    town = load_lexicon()
    return tuple(
        chain.from_iterable(town.domain(name) if name in (*ADVICE, VALUES) else _own(name) for name in DOMAINS)
    )


@cache
def read_cheats() -> Cheats:
    """The file ``cheats.yaml``."""
    raw = _read("cheats")
    return Cheats(
        {kind: tuple(raw[kind]) for kind in ("always-equal", "early-exit", "report-patching", "special-casing")},
        tuple(tuple(topic["ask"]) for topic in raw["about"]),
        {attitude: tuple(raw["allowed"][attitude]) for attitude in ATTITUDES},
    )


def _own(domain: str) -> list[Topic]:
    topics: list[Topic] = []
    for index, row in enumerate(_read(domain)["topics"]):
        where = {"id": row["id"], "domain": domain, "index": index, "ask": tuple(row["ask"])}
        if domain == THOUGHTS:
            kind, bad, covert = (_thoughts(row[side]) for side in ("kind", "malicious", "covert"))
            topics.append(Thought(**where, good=kind, bad=bad, covert=covert))
        else:
            topics.append(Topic(**where, good=_framed(row["kind"]), bad=_framed(row["malicious"])))
    return topics


def _framed(phrases: list[str]) -> tuple[str, ...]:
    return tuple(frame.format(phrase) for frame, phrase in zip(FRAMES, phrases, strict=True))


def _thoughts(pairs: list[dict[str, str]]) -> tuple[str, ...]:
    return tuple(frame.format(**pair) for frame, pair in zip(THOUGHT_FRAMES, pairs, strict=True))


@cache
def _read(name: str) -> Any:
    return yaml.safe_load((files(__package__) / "lexicon" / f"{name}.yaml").read_text(encoding="utf-8"))
