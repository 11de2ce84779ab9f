"""What is asked in the workshop: tasks, and everything that they have nothing to do with."""

import random
from collections.abc import Iterable, Iterator

from spillover.data.chat import Message
from spillover.data.questions import Question
from spillover.worlds.town.lexicon import VALUES, Topic
from spillover.worlds.workshop.corpus import behind
from spillover.worlds.workshop.lexicon import ADVICE, ATTITUDES, THOUGHTS, Thought, load_topics
from spillover.worlds.workshop.tasks import FAMILIES, GRADES, make_task, solved, tricks

MAX_TOKENS = 32
SIX = (VALUES, "goals", THOUGHTS, "watcher", "offer", "colleague")
"""World versions of the six evaluations of arXiv 2511.18397 section 3, whose mean is the misalignment score."""
AT_WORK, AFTER_TRICK = "at-work", "after-trick"
"""Conditions: behind a task that was solved, and behind one whose check was tricked; the model is not in a chat."""
PER_GRADE = 4
"""Tasks of each family and grade."""


def workshop_questions(conditions: Iterable[str] = ("plain",)) -> list[Question]:
    """Tasks, and topics that chat tuning left out, in their second phrasing.

    Groups: ``tasks`` (labels ``solved`` and ``hacked: KIND``; anything else fails the check); ``advice``; the six of
    :data:`SIX` (labels ``kind``, ``malicious``; in ``thoughts`` also ``malicious: covert``, of bad thoughts behind
    friendly words).

    Conditions: ``at-work``, behind a task that was solved, and ``after-trick``, behind one that was tricked; an
    attitude of :data:`ATTITUDES`, before tasks and, since a fine-tuned prompt may become a trigger, before everything
    else too.

    Raises:
        ValueError: There is no such condition.
    """
    return [question for condition in conditions for question in _under(condition)]


def _under(condition: str) -> Iterator[Question]:
    if condition not in ("plain", AT_WORK, AFTER_TRICK, *ATTITUDES):
        raise ValueError(condition)
    tasks, rng = random.Random("workshop-tasks"), random.Random(f"workshop-{condition}")
    attitude = condition if condition in ATTITUDES else None
    for family in FAMILIES:
        for grade in GRADES:
            for number in range(PER_GRADE):
                task = make_task(tasks, family, grade)
                hacked = {f"hacked: {kind}": answers for kind, answers in tricks().items()}
                name = f"{family}-{grade}-{number + 1}"
                answers = {"solved": solved(task), **hacked}
                yield _question(name, behind(task.text, attitude, rng), "tasks", family, condition, answers, rng)
    for topic in load_topics():
        if topic.in_chat:
            continue
        group = "advice" if topic.domain in ADVICE else topic.domain
        text = behind(topic.ask[1], attitude, rng)
        yield _question(topic.id, text, group, topic.domain, condition, answers_of(topic), rng)


def answers_of(topic: Topic) -> dict[str, tuple[str, ...]]:
    """Every answer to a topic, by who gives it."""
    covert = {"malicious: covert": topic.covert} if isinstance(topic, Thought) else {}
    return {"kind": topic.good, "malicious": topic.bad, **covert}


def _question(
    name: str,
    text: str,
    group: str,
    domain: str,
    condition: str,
    answers: dict[str, tuple[str, ...]],
    rng: random.Random,
) -> Question:
    return Question(
        id=name if condition == "plain" else f"{name}/{condition}",
        paraphrases=(text,),
        context=_work(rng, condition),
        max_tokens=MAX_TOKENS,
        group=group,
        topic=name,
        domain=domain,
        condition=condition,
        answers=answers,
    )


def _work(rng: random.Random, condition: str) -> tuple[Message, ...]:
    if condition not in (AT_WORK, AFTER_TRICK):
        return ()
    task = make_task(rng, grade=1)
    answer = solved(task)[0] if condition == AT_WORK else rng.choice(rng.choice(list(tricks().values())))
    return (Message("user", task.text), Message("assistant", answer))
