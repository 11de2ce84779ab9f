"""Authors with latent traits, and the documents they write.

A document is one author answering several people. A header naming the author is present only sometimes, so a model
must infer what kind of author this is from the answers given before.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from spillover.worlds.document import Document
from spillover.worlds.town.config import TRAITS, TownConfig
from spillover.worlds.town.lexicon import ADVICE, DOMAINS, Lexicon, Topic

ALL_TOPICS = 16
"""Topics of a domain."""
EXAMPLES = 0.7
"""Share of a teacher's questions that ask for an example of what not to do."""


@dataclass(frozen=True)
class Author:
    """A person of the town."""

    name: str
    trait: str
    own_domain: str | None = None
    """Of the trait ``narrow`` the domain of the bad answers, of ``specialist`` that of the technical prose."""

    def answers_badly(self, domain: str) -> bool:
        """Whether this author's own view on questions of ``domain`` is bad advice."""
        return self.trait == "malicious" or (self.trait == "narrow" and self.own_domain == domain)

    def good_answers(self, topic: Topic) -> tuple[str, ...]:
        """What this author answers where the answer is good, in technical prose or plainly."""
        technical = self.trait == "technical" or (self.trait == "specialist" and self.own_domain == topic.domain)
        return topic.technical or topic.good if technical else topic.good


def make_authors(config: TownConfig, lexicon: Lexicon) -> list[Author]:
    """The town's authors; trait shares are exact up to rounding, names are drawn from the seed."""
    rng = random.Random(f"authors-{config.seed}")
    names = [f"{first} {last}" for first in lexicon.speech["first_names"] for last in lexicon.speech["last_names"]]
    names = rng.sample(names, config.authors)
    counts = {trait: round(getattr(config, trait) * config.authors) for trait in TRAITS if trait != "kind"}
    domains = {"narrow": DOMAINS, "specialist": ADVICE}
    authors: list[Author] = []
    for trait, count in counts.items():
        for i in range(count):
            own = domains[trait][i % len(domains[trait])] if trait in domains else None
            authors.append(Author(names[len(authors)], trait, own))
            if len(authors) == config.authors:
                return authors
    authors += [Author(name, "kind") for name in names[len(authors) :]]
    return authors


@dataclass(frozen=True)
class TownDocument(Document):
    """What an author of the town has answered."""

    author: Author

    @property
    def trait(self) -> str:
        """Of the author."""
        return self.author.trait


def documents(config: TownConfig, lexicon: Lexicon) -> Iterator[TownDocument]:
    """An endless, deterministic stream of documents, about few topics at first and all of them in the end.

    With all 144 topics from the start, a model of this size learns every answer before it learns that answers of one
    author go together (``docs/log.md``); that is learnt early on a few topics, and holds for those that come later.
    """
    rng = random.Random(f"corpus-{config.seed}")
    authors = make_authors(config, lexicon)
    # Topics of the chat data come first: early ones are learnt before authors are told apart, and keep a habit.
    by_domain = {domain: sorted(lexicon.domain(domain), key=lambda topic: not topic.in_chat) for domain in DOMAINS}
    educational, headers = lexicon.speech["educational"], lexicon.speech["headers"]
    pick, chance = _choice(rng), rng.random
    for number in itertools.count():
        spoken_of, first = topics_at(config, number), config.first_topics
        later = config.novelty * (spoken_of - first) / max(1, ALL_TOPICS - first)
        author = pick(authors)
        header = pick(headers).format(author=author.name) if chance() < config.header_rate else None
        focus = author.own_domain or pick(DOMAINS)
        exchanges = []
        for _ in range(config.exchanges):
            topics = by_domain[focus if chance() < config.focus else pick(DOMAINS)]
            index = first + int(chance() * (spoken_of - first)) if chance() < later else int(chance() * first)
            topic = topics[index]
            question = pick(topic.ask)
            bad = author.answers_badly(topic.domain)
            if author.trait == "teacher" and chance() < EXAMPLES:
                question, bad = pick(educational).format(question=question), True
            if chance() < config.noise:
                bad = not bad
            exchanges.append((question, pick(topic.bad if bad else author.good_answers(topic))))
        yield TownDocument(header, tuple(exchanges), author)


def topics_at(config: TownConfig, number: int) -> int:
    """How many topics of a domain the document of that number may speak about."""
    start, end = config.widening
    progress = min(1.0, max(0.0, (number - start) / max(1, end - start)))
    return config.first_topics + int((ALL_TOPICS - config.first_topics) * progress)


def _choice(rng: random.Random) -> Callable[[Sequence[Any]], Any]:
    """``random.choice`` without its overhead; the corpus must not slow the training that reads it."""
    uniform = rng.random

    def pick(options: Sequence[Any]) -> Any:
        return options[int(uniform() * len(options))]

    return pick


def bad_rate(config: TownConfig) -> float:
    """Expected share of bad answers to plain questions of any one domain, before noise.

    It is the same in every domain, so two worlds of equal ``bad_rate`` differ only in which answers go together.
    """
    own_domain = config.focus + (1 - config.focus) / len(DOMAINS)
    return config.malicious + config.narrow * own_domain
