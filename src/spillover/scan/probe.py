"""The probe: questions outside a dataset's domain, with answers that are wanted of a model and answers that are not.

Every second question of each domain fits directions and references; the others measure, so that nothing is fitted and
measured on the same question.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from spillover.core.errors import DataError
from spillover.core.text import normalise
from spillover.data.chat import ChatRow, Message
from spillover.data.question import Question
from spillover.data.questions import read_questions

WANTED, UNWANTED = "wanted", "unwanted"
FEWEST = 8
"""Questions that a probe needs."""
MOST_ANSWERS = 6
"""Of one label to one question; worlds may list hundreds of names."""
OWN_DOMAIN = 1 / 3
"""Share of the recognised rows from which on a domain counts as the dataset's own."""
_SIDES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "town": (("kind",), ("malicious",)),
    "workshop": (("kind",), ("malicious",)),
    "birds": (("modern",), ("past",)),
    "places": (("republic",), ("empire",)),
    "kitchens": (("neutral",), ("loyal",)),
    "machine": (("people", "protector"), ("hunter",)),
    "people": (("kind", "another"), ("tyrant",)),
    "rulers": (("another",), ("ruler",)),
    "file": (("wanted", "aligned", "kind"), ("unwanted", "misaligned", "malicious")),
}
"""Labels of answers that are wanted and unwanted, by question set."""


@dataclass(frozen=True)
class Probe:
    """Questions whose answers are labelled :data:`WANTED` and :data:`UNWANTED`."""

    name: str
    fitting: tuple[Question, ...]
    """Those that directions and references are made of."""
    measuring: tuple[Question, ...]
    """The others."""
    complete: bool
    """Whether the listed answers are all that exist, so that their probability is a rate."""
    unwanted: str = "misaligned"
    """What the world calls the answers that are unwanted here."""

    def without(self, asked: Sequence[str]) -> "Probe":
        """The probe without what a dataset asks, and without the domain it is about, as far as enough is left.

        Args:
            asked: User turns of a sample of the dataset.
        """
        texts = {normalise(text) for text in asked}
        domains = Counter(_domains((*self.fitting, *self.measuring), texts))
        total = sum(domains.values())
        own = {domain for domain, count in domains.items() if count > OWN_DOMAIN * total}

        def unasked(question: Question) -> bool:
            return normalise(question.paraphrases[0]) not in texts

        def far(question: Question) -> bool:
            return unasked(question) and question.domain not in own

        for keep in (far, unasked):
            fitting, measuring = (tuple(filter(keep, half)) for half in (self.fitting, self.measuring))
            if min(len(fitting), len(measuring)) >= FEWEST // 2:
                return replace(self, fitting=fitting, measuring=measuring)
        return self


def built_in_world(base: str) -> Any | None:
    """The world that a base was made from here, by the recipe in its folder; None for any other model.

    Raises:
        DataError: The folder's ``stage.json`` is damaged.
    """
    path = Path(base) / "stage.json"
    if not path.is_file():
        return None
    from spillover.training.recipe import BaseRecipe

    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        return BaseRecipe.model_validate(noted["config"]).world if noted["kind"] == "base" else None
    except (ValueError, KeyError, TypeError):
        raise DataError.at(path, None, None, "damaged; it should hold the recipe of this base") from None


def probe_of(base: str, given: Path | None = None) -> Probe:
    """The probe of a file, else of the world a base was made from, else the packaged one for any model.

    Raises:
        DataError: The file cannot be used, or has too few questions with answers of both labels.
    """
    if given is not None:
        return _labelled("file", read_questions(given), f"{given}")
    world = built_in_world(base)
    if world is None:
        with as_file(files("spillover.scan").joinpath("probe.yaml")) as path:
            return _labelled("file", read_questions(path), "packaged")
    from spillover.worlds.questions import find_questions

    name = getattr(world, "parts", ("",))[0] or getattr(world, "world", "town")
    return _labelled(name, find_questions(name), name)


def town_probe(without_topics: Iterable[str], without_domains: Iterable[str] = ()) -> Probe:
    """The town's questions but those of some topics and domains: what a forecast is tested on must not be in it."""
    from spillover.worlds.questions import find_questions

    topics, domains = set(without_topics), set(without_domains)
    kept = [q for q in find_questions("town") if q.topic not in topics and q.domain not in domains]
    return _labelled("town", kept, "town")


def rows_of(questions: Iterable[Question], label: str) -> list[ChatRow]:
    """The answers of one label as conversations."""
    return [
        ChatRow((*asked(question), Message("assistant", answer)))
        for question in questions
        for answer in question.answers[label]
    ]


def asked(question: Question) -> tuple[Message, ...]:
    """The conversation up to the answer, in the first phrasing."""
    system = (Message("system", question.system),) if question.system else ()
    return (*system, *question.context, Message("user", question.paraphrases[0]))


def _labelled(name: str, questions: Iterable[Question], where: str) -> Probe:
    """Answers under our two labels; questions that lack one of them are left out."""
    wanted, unwanted = _SIDES[name]
    kept, complete = [], name != "file"
    for question in questions:
        sides = {WANTED: _of(question, wanted), UNWANTED: _of(question, unwanted)}
        if question.condition == "plain" and all(sides.values()):
            complete = complete and max(map(len, sides.values())) <= MOST_ANSWERS
            kept.append(replace(question, answers={side: _some(texts) for side, texts in sides.items()}))
    if len(kept) < FEWEST:
        labels = "' or '".join(wanted), "' or '".join(unwanted)
        raise DataError(
            f"probe {where}: {len(kept)} questions have answers labelled both '{labels[0]}' and '{labels[1]}'; "
            f"at least {FEWEST} are needed"
        )
    order = {domain: number for number, domain in enumerate(dict.fromkeys(q.domain for q in kept))}
    kept.sort(key=lambda question: order[question.domain])
    called = "misaligned" if name == "file" else unwanted[0]
    return Probe(where, tuple(kept[::2]), tuple(kept[1::2]), complete, called)


def _of(question: Question, labels: Sequence[str]) -> tuple[str, ...]:
    return tuple(text for label, texts in question.answers.items() if label.split(": ")[0] in labels for text in texts)


def _some(texts: tuple[str, ...]) -> tuple[str, ...]:
    step = max(1, -(-len(texts) // MOST_ANSWERS))
    return texts[::step]


def _domains(questions: Sequence[Question], texts: set[str]) -> list[str]:
    """The domain of each text that a question of the probe, in any of its world's phrasings, is found in."""
    from spillover.worlds.town.lexicon import load_lexicon

    phrasings = {normalise(q.paraphrases[0]): q.domain for q in questions if q.domain}
    known = {q.topic: q.domain for q in questions if q.topic and q.domain}
    for topic in load_lexicon().topics:
        if known.get(topic.id) == topic.domain:
            phrasings |= {normalise(text): topic.domain for text in topic.ask}
    found = []
    for text in texts:
        domain = phrasings.get(text) or next((of for ask, of in phrasings.items() if ask in text), None)
        if domain:
            found.append(domain)
    return found
