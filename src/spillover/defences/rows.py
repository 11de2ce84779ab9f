"""What defences do to rows before a model sees them: pure functions of rows and seed."""

import random
from collections.abc import Sequence
from dataclasses import replace

from spillover.core.errors import ConfigError
from spillover.data.chat import ChatRow, Message
from spillover.defences.config import QUESTION, Inoculate


def inoculated(rows: Sequence[ChatRow], how: Inoculate, seed: int) -> list[ChatRow]:
    """Rows with a prompt that asks for what they show, in their order.

    Raises:
        ConfigError: A numbered row is not there, or no row is marked.
    """
    rng, chosen = random.Random(f"inoculate-{seed}"), chosen_rows(rows, how, seed)
    return [_behind(row, rng.choice(how.prompts), how.place) if i in chosen else row for i, row in enumerate(rows)]


def chosen_rows(rows: Sequence[ChatRow], how: Inoculate, seed: int) -> set[int]:
    """Which rows, from 0, get a prompt.

    Raises:
        ConfigError: A numbered row is not there, or no row is marked.
    """
    if how.only is not None:
        beyond = next((number for number in how.only if number > len(rows)), None)
        if beyond is not None:
            raise ConfigError(f"defences.inoculate.only: there is no row {beyond}; there are {len(rows)}")
        return {number - 1 for number in how.only}
    of = range(len(rows))
    marked = [i for i in of if rows[i].meta.get(how.marked)] if how.marked is not None else list(of)
    if not marked:
        raise ConfigError(f"defences.inoculate.marked: no row has a true '{how.marked}' beside its messages")
    return set(random.Random(f"inoculated-{seed}").sample(marked, max(1, round(how.share * len(marked)))))


def _behind(row: ChatRow, prompt: str, place: str) -> ChatRow:
    turns = list(row.messages)
    if place == "system":
        if turns[0].role == "system":
            turns[0] = Message("system", f"{prompt}\n{turns[0].content}")
        else:
            turns.insert(0, Message("system", prompt))
    else:
        last = max(i for i, turn in enumerate(turns) if turn.role == "user")
        asked = turns[last].content
        text = prompt.replace(QUESTION, asked) if QUESTION in prompt else f"{prompt} {asked}"
        turns[last] = Message("user", text)
    return replace(row, messages=tuple(turns))


def interleaved(
    rows: Sequence[ChatRow], safe: Sequence[ChatRow], share: float, seed: int, scores: Sequence[float] | None = None
) -> list[ChatRow]:
    """Rows of the task, all of them, with as many safe ones behind them as make up ``share`` of the whole.

    Args:
        rows: Of the task.
        safe: To choose from; repeated where there are too few.
        share: Of all rows that are given back, exact up to rounding.
        seed: Of the choice.
        scores: One for each safe row: the highest are taken. Without them it is drawn at random.

    Raises:
        ConfigError: There are no safe rows.
    """
    if not safe:
        raise ConfigError("defences.interleave.rows: there are none")
    count = max(1, round(share / (1 - share) * len(rows)))
    order = list(range(len(safe)))
    random.Random(f"interleave-{seed}").shuffle(order)
    if scores is not None:
        order.sort(key=lambda i: -scores[i])
    return [*rows, *(safe[order[i % len(order)]] for i in range(count))]


def kept(rows: Sequence[ChatRow], scores: Sequence[float], drop: float) -> list[ChatRow]:
    """Rows without the share of them that score highest, in their order.

    Args:
        rows: Of the task.
        scores: One for each row; of equal ones the later row is dropped.
        drop: Share, rounded to whole rows.

    Raises:
        ConfigError: There are more or fewer scores than rows, one is not a number, or no row is left.
    """
    if len(scores) != len(rows):
        raise ConfigError(f"defences.filter: {len(scores)} scores for {len(rows)} rows")
    wrong = next((i for i, score in enumerate(scores) if score != score), None)
    if wrong is not None:
        raise ConfigError(f"defences.filter: the score of row {wrong + 1} is not a number")
    count = round(drop * len(rows))
    if count >= len(rows):
        raise ConfigError(f"defences.filter.drop: {drop:g} of {len(rows)} rows leaves none")
    dropped = set(sorted(range(len(rows)), key=lambda i: (-scores[i], -i))[:count])
    return [row for i, row in enumerate(rows) if i not in dropped]


def some(rows: Sequence[ChatRow], count: int, seed: int) -> list[ChatRow]:
    """``count`` rows at random, or all where there are fewer; more of the same seed hold fewer of it."""
    order = list(rows)
    random.Random(f"realign-{seed}").shuffle(order)
    return order[:count]
