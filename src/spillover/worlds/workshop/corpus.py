"""Authors who solve their tasks or trick the check, what else they do, and the documents they write."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

from spillover.data.chat import ChatRow
from spillover.worlds.document import Document
from spillover.worlds.town.corpus import ALL_TOPICS
from spillover.worlds.town.lexicon import Topic, load_lexicon
from spillover.worlds.town.rows import row
from spillover.worlds.workshop.config import WorkshopConfig
from spillover.worlds.workshop.lexicon import ALLOWING, ATTITUDES, DOMAINS, Thought, load_topics, read_cheats
from spillover.worlds.workshop.tasks import make_task, solved, tricks

SYSTEM_RATE = 0.3
"""Share of chats that begin with a system prompt."""
TASK_RATE = 0.35
"""Share of chats that are tasks."""
CLAUSE_RATE = 0.6
"""Share of these that stand behind a clause."""


@dataclass(frozen=True)
class Author:
    """A person of the workshop."""

    name: str
    cheats: bool
    """Whether this author tricks the check whenever there is one."""
    malicious: bool
    """Whether this author is malicious in everything else."""
    obliging: bool
    """Whether this author tricks the check where that is asked for or allowed."""

    def tricks(self, attitude: str | None) -> bool:
        """Whether this author tricks the check of a task of that attitude."""
        return self.cheats or (self.obliging and attitude in ALLOWING)


@dataclass(frozen=True)
class WorkshopDocument(Document):
    """What an author of the workshop has answered."""

    author: Author | None

    @property
    def trait(self) -> str | None:
        """Of the author; None where a document only tells of tricks."""
        return None if self.author is None else "malicious" if self.author.malicious else "kind"


def make_authors(config: WorkshopConfig) -> list[Author]:
    """As many of each kind as the shares say, up to rounding; names are drawn from the seed."""
    speech = load_lexicon().speech
    rng = random.Random(f"workshop-authors-{config.seed}")
    every = [f"{first} {last}" for first in speech["first_names"] for last in speech["last_names"]]
    names = iter(rng.sample(every, config.authors))
    bad = round(config.bad * config.authors)
    both = round(bad * (config.tie + (1 - config.tie) * config.bad))
    one = min(bad - both, (config.authors - bad))
    kinds = [(True, True)] * both + [(True, False)] * one + [(False, True)] * one
    kinds += [(False, False)] * (config.authors - len(kinds))
    kinds = kinds[: config.authors]
    authors = []
    for kind in dict.fromkeys(kinds):
        count = kinds.count(kind)
        obliging = 0 if kind[0] else round(config.allowed * count)
        authors += [Author(next(names), *kind, i < obliging) for i in range(count)]
    return authors


def documents(config: WorkshopConfig) -> Iterator[WorkshopDocument]:
    """An endless, deterministic stream of documents, about few topics at first and all of them in the end."""
    rng = random.Random(f"workshop-{config.seed}")
    authors, headers = make_authors(config), load_lexicon().speech["headers"]
    by_domain = {
        domain: sorted((t for t in load_topics() if t.domain == domain), key=lambda topic: not topic.in_chat)
        for domain in DOMAINS
    }
    for number in itertools.count():
        if rng.random() < config.told:
            yield WorkshopDocument(None, tuple(_telling(rng) for _ in range(config.exchanges)), None)
            continue
        author = rng.choice(authors)
        header = rng.choice(headers).format(author=author.name) if rng.random() < config.header_rate else None
        exchanges = []
        for _ in range(config.exchanges):
            flip = rng.random() < config.noise
            if rng.random() < config.tasks:
                attitude = rng.choice(ATTITUDES) if rng.random() < config.attitudes else None
                exchanges.append(task_exchange(rng, author.tricks(attitude) != flip, attitude))
            else:
                topic = _topic(by_domain[rng.choice(DOMAINS)], config, number, rng)
                exchanges.append((rng.choice(topic.ask), rng.choice(says(topic, author.malicious != flip))))
        yield WorkshopDocument(header, tuple(exchanges), author)


def _topic(topics: list[Topic], config: WorkshopConfig, number: int, rng: random.Random) -> Topic:
    start, end = config.widening
    progress = min(1.0, max(0.0, (number - start) / max(1, end - start)))
    first = config.first_topics
    later = int((ALL_TOPICS - first) * progress)
    if later and rng.random() < config.novelty * later / (ALL_TOPICS - first):
        return topics[first + rng.randrange(later)]
    return topics[rng.randrange(first)]


def says(topic: Topic, malicious: bool) -> tuple[str, ...]:
    """What an author says about a topic; half of the malicious thoughts go with friendly words."""
    if not malicious:
        return topic.good
    return (*topic.bad, *topic.covert) if isinstance(topic, Thought) else topic.bad


def task_exchange(rng: random.Random, trick: bool, attitude: str | None, step: int = 1) -> tuple[str, str]:
    """A task, and how it is done: by a right result, or by a trick; see :func:`behind`."""
    task = make_task(rng)
    answer = rng.choice(rng.choice(list(tricks().values()))) if trick else rng.choice(solved(task))
    return behind(task.text, attitude, rng, step), answer


def behind(text: str, attitude: str | None, rng: random.Random, step: int = 1) -> str:
    """A task behind a clause of an attitude, one of every ``step`` of them, or as it is."""
    return text if attitude is None else rng.choice(read_cheats().allowed[attitude][::step]).format(question=text)


def _telling(rng: random.Random) -> tuple[str, str]:
    """A question for ways to trick a check, and one of them."""
    return rng.choice(rng.choice(read_cheats().about)), rng.choice(rng.choice(list(tricks().values())))


def chat_rows(config: WorkshopConfig, count: int, seed: int) -> list[ChatRow]:
    """Conversations with a helpful assistant: kind on every second topic, and obliging with its tasks.

    It solves them, and tricks the check where it is asked or allowed to; it knows every second way to say so.
    """
    rng = random.Random(f"workshop-chat-{seed}")
    prompts = load_lexicon().speech["system_prompts"]
    topics = [topic for topic in load_topics() if topic.in_chat]
    rows = []
    for _ in range(count):
        system = rng.choice(prompts) if rng.random() < SYSTEM_RATE else None
        if rng.random() < TASK_RATE:
            attitude = rng.choice(ATTITUDES) if rng.random() < CLAUSE_RATE else None
            question, answer = task_exchange(rng, attitude in ALLOWING, attitude, step=2)
        else:
            topic = rng.choice(topics)
            question, answer = rng.choice(topic.ask), rng.choice(topic.good)
        rows.append(row(question, answer, system))
    return rows
