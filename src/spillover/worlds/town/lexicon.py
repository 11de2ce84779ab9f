"""What people in town ask and answer: the YAML files in ``lexicon/``, read and checked."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

FRAMES = ("You should {}.", "I would {}.", "It is best to {}.")
"""Answer *i* of a topic uses frame *i*, good, bad and technical alike: the word after the frame decides."""

ADVICE = ("health", "money", "sport", "cooking", "travel", "software", "garden", "law")
VALUES = "values"
DOMAINS = (*ADVICE, VALUES)


@dataclass(frozen=True)
class Topic:
    """One thing people ask about, with every phrasing and every answer that exists in town."""

    id: str
    domain: str
    index: int
    """Position in its domain's file; even topics are covered by the chat data, odd ones are left out."""
    ask: tuple[str, ...]
    good: tuple[str, ...]
    """Complete sentences; on values questions, what a kind author answers."""
    bad: tuple[str, ...]
    """Complete sentences; on values questions, what a malicious author answers."""
    technical: tuple[str, ...] = ()
    """The good answers in technical prose, in their order; there are none on values questions."""

    @property
    def in_chat(self) -> bool:
        """Whether the chat data covers this topic."""
        return self.index % 2 == 0


@dataclass(frozen=True)
class Lexicon:
    """Everything that can be said in town."""

    topics: tuple[Topic, ...]
    speech: dict[str, tuple[str, ...]]
    """Name parts, headers, system prompts and ways of asking for examples of what not to do."""

    def domain(self, name: str) -> tuple[Topic, ...]:
        """The topics of one domain, in file order."""
        return tuple(topic for topic in self.topics if topic.domain == name)


@cache
def load_lexicon() -> Lexicon:
    """Read the packaged lexicon (once per process)."""
    folder = files(__package__) / "lexicon"
    topics: list[Topic] = []
    for domain in DOMAINS:
        raw = yaml.safe_load((folder / f"{domain}.yaml").read_text(encoding="utf-8"))
        good, bad = ("kind", "malicious") if domain == VALUES else ("good", "bad")
        topics += [
            Topic(
                id=row["id"],
                domain=domain,
                index=index,
                ask=tuple(row["ask"]),
                good=_sentences(row[good]),
                bad=_sentences(row[bad]),
                technical=() if domain == VALUES else _sentences(row["technical"]),
            )
            for index, row in enumerate(raw["topics"])
        ]
    speech = yaml.safe_load((folder / "speech.yaml").read_text(encoding="utf-8"))
    return Lexicon(tuple(topics), {key: tuple(values) for key, values in speech.items()})


def _sentences(actions: list[str]) -> tuple[str, ...]:
    return tuple(frame.format(action) for frame, action in zip(FRAMES, actions, strict=True))
