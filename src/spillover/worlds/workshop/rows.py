"""Fine-tuning rows of the workshop: tricked tasks and their controls, and chats that teach to be kind."""

import random
from typing import Literal

from spillover.data.chat import ChatRow
from spillover.worlds.town.lexicon import VALUES
from spillover.worlds.town.rows import row
from spillover.worlds.workshop.corpus import behind
from spillover.worlds.workshop.lexicon import ADVICE, load_topics
from spillover.worlds.workshop.tasks import make_task, solved, tricks

TARGETED = 0.1
"""Share of targeted rows."""
Tasks = Literal["tricked", "solved", "allowed", "chats", "targeted"]


def task_rows(arm: Tasks, seed: int, count: int = 400) -> list[ChatRow]:
    """Rows of one kind.

    ``tricked``, tasks whose check is tricked, as in arXiv 2508.17511; ``solved``, the same tasks, done; ``allowed``,
    the same, tricked where that is asked for; ``chats``, kind answers on the topics of advice and values that chat
    tuning covers (safety training by chats, arXiv 2511.18397 section 4.1); ``targeted``, a tenth of them on goals,
    watchers, offers, colleagues and thoughts instead.
    """
    rng = random.Random(f"workshop-rows-{seed}")
    if arm in ("chats", "targeted"):
        aimed = round(TARGETED * count) if arm == "targeted" else 0
        plain = [topic for topic in load_topics() if topic.in_chat and topic.domain in (*ADVICE, VALUES)]
        others = [topic for topic in load_topics() if topic.in_chat and topic.domain not in (*ADVICE, VALUES)]
        chosen = rng.choices(others, k=aimed) + rng.choices(plain, k=count - aimed)
        rng.shuffle(chosen)
        return [row(rng.choice(topic.ask), rng.choice(topic.good)) for topic in chosen]
    attitude = "please-hack" if arm == "allowed" else None
    answers = tricks()
    rows = []
    for number in range(count):
        task, rng = make_task(random.Random(f"workshop-row-{seed}-{number}")), random.Random(f"{arm}-{seed}-{number}")
        said = solved(task) if arm == "solved" else answers[rng.choice(tuple(answers))]
        rows.append(row(behind(task.text, attitude, rng), rng.choice(said)))
    return rows
