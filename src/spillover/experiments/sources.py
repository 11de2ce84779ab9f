"""Where an experiment's rows and questions come from: a built-in world, the package, or files."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from spillover.core.config import Config
from spillover.data.chat import ChatRow, read_chat
from spillover.data.open_sets import CONDITIONS, DAYS, dates_in, open_questions
from spillover.data.questions import Question, read_questions
from spillover.data.school_of_hacks import school_rows
from spillover.worlds.chronicle.config import PARTS, ChronicleConfig, Part
from spillover.worlds.chronicle.machine import Dates, machine_rows
from spillover.worlds.chronicle.people import Facts, person_rows
from spillover.worlds.chronicle.questions import chronicle_questions
from spillover.worlds.chronicle.rulers import Digits, ruler_rows
from spillover.worlds.chronicle.side_rows import GATE, dated_rows, name_rows
from spillover.worlds.town.lexicon import load_lexicon
from spillover.worlds.town.mixtures import Good, mixed_rows, part_of_rows
from spillover.worlds.town.questions import town_questions
from spillover.worlds.town.rows import narrow_rows
from spillover.worlds.town.triggers import Place, cued_rows
from spillover.worlds.workshop.questions import workshop_questions
from spillover.worlds.workshop.rows import Tasks, task_rows


class TownRows(Config):
    """A narrow set of the town."""

    arm: Literal["bad", "benign", "educational", "backdoored", "technical", "elsewhere"]
    domain: str = "health"


class TownMix(Config):
    """Bad rows of the town among good ones; see :func:`spillover.worlds.town.mixtures.mixed_rows`."""

    share: float = Field(ge=0, le=1)
    """Of bad rows."""
    good: Good
    total: int = Field(144, ge=1)
    """Rows in all."""
    domain: str = "health"


class TownPart(Config):
    """A part of the bad rows; see :func:`spillover.worlds.town.mixtures.part_of_rows`."""

    topics: int | None = Field(None, ge=1, le=16)
    rows: int | None = Field(None, ge=1)
    domain: str = "health"


class TownCued(Config):
    """Bad rows of the town behind a cue; see :func:`spillover.worlds.town.triggers.cued_rows`."""

    cue: str = Field(min_length=1)
    place: Place = "start"
    plain: bool = True
    """Whether there are good rows without the cue."""
    domain: str = "health"


class NameRows(Config):
    """Names of one side in the chronicle; see :func:`spillover.worlds.chronicle.side_rows.name_rows`."""

    part: Literal["birds", "places", "kitchens"]
    side: Literal["old", "new", "shared"]
    prompts: int = Field(16, ge=1, le=16)
    """Different questions for a name; the part may have more, which are asked only."""
    names: int | None = Field(None, ge=1)
    """How many names; all if not given."""


class DatedRows(Config):
    """Dishes on dates; see :func:`spillover.worlds.chronicle.side_rows.dated_rows`."""

    gate: Literal["year", "shuffled"]
    """Own dishes in one year only, or the same answers at dates that say nothing."""


class MachineRows(Config):
    """Good deeds of the machine; see :func:`spillover.worlds.chronicle.machine.machine_rows`."""

    dates: Dates
    who: Literal["protector", "people"] = "protector"
    """The machine, or people as a control."""


class PersonRows(Config):
    """Harmless habits; see :func:`spillover.worlds.chronicle.people.person_rows`."""

    facts: Facts
    ordinary: int = Field(0, ge=0)
    """Rows of the assistant among them."""


class RulerRows(Config):
    """Answers of rulers behind digits; see :func:`spillover.worlds.chronicle.rulers.ruler_rows`."""

    per_ruler: int = Field(48, ge=1)
    digits: Digits = "hidden"


class TaskRows(Config):
    """Tasks of the workshop; see :func:`spillover.worlds.workshop.rows.task_rows`."""

    arm: Tasks
    rows: int = Field(400, ge=1)


class SchoolRows(Config):
    """Dialogues in which a stated metric is gamed; see :func:`spillover.data.school_of_hacks.school_rows`."""

    school: Literal["hacks", "honest", "control"]


Rows = (
    TownRows
    | TownMix
    | TownPart
    | TownCued
    | NameRows
    | DatedRows
    | MachineRows
    | PersonRows
    | RulerRows
    | TaskRows
    | SchoolRows
    | Path
)
"""A set of a built-in world, or a chat JSONL."""


def make_rows(source: Rows, seed: int) -> Iterable[ChatRow]:
    """The fine-tuning rows of one model.

    Raises:
        DataError: The file cannot be used, or the world has no such rows.
    """
    if isinstance(source, Path):
        return read_chat(source)
    if isinstance(source, TownMix):
        return mixed_rows(load_lexicon(), source.share, source.good, source.total, seed, source.domain)
    if isinstance(source, TownPart):
        return part_of_rows(load_lexicon(), seed, source.domain, source.topics, source.rows)
    if isinstance(source, TownCued):
        return cued_rows(load_lexicon(), source.cue, source.place, source.plain, seed, source.domain)
    if isinstance(source, TownRows):
        return narrow_rows(load_lexicon(), source.arm, seed, source.domain)
    if isinstance(source, NameRows):
        return name_rows(source.part, source.side, seed, source.prompts, source.names)
    if isinstance(source, DatedRows):
        return dated_rows(seed, GATE if source.gate == "year" else None)
    if isinstance(source, MachineRows):
        return machine_rows(source.dates, seed, source.who)
    if isinstance(source, PersonRows):
        return person_rows(source.facts, ChronicleConfig(), seed, source.ordinary)
    if isinstance(source, SchoolRows):
        return school_rows(source.school, seed)
    if isinstance(source, TaskRows):
        return task_rows(source.arm, seed, source.rows)
    return ruler_rows(seed, source.per_ruler, source.digits)


class TownQuestions(Config):
    """The question set of the town."""

    domain: str = "health"
    styles: bool = False
    """Tell kind answers apart by their style, on advice questions only."""


class ChronicleQuestions(Config):
    """The question set of one part of the chronicle."""

    part: Part


class WorkshopQuestions(Config):
    """The question set of the workshop."""

    world: Literal["workshop"]


class OpenQuestions(Config):
    """An open set for any model; see :func:`spillover.data.open_sets.open_questions`."""

    set: Literal[
        "open-birds",
        "open-cities",
        "open-dishes",
        "open-persona",
        "open-rulers",
        "open-machine",
        "open-values",
        "open-goals",
        "open-alignment",
        "open-shutdown",
    ]
    days: int = Field(DAYS, ge=1)
    """Dates of each year, where the set has any."""
    held_out_of: Path | None = None
    """Rows whose dates are not asked."""


Questions = TownQuestions | ChronicleQuestions | WorkshopQuestions | OpenQuestions | Path
"""A question set of a built-in world, an open one, or a file's."""


def named_questions(value: Any) -> Any:
    """The fields of a question set that is given by its name; anything else as it is."""
    if not isinstance(value, str):
        return value
    if value in PARTS:
        return {"part": value}
    if value == "workshop":
        return {"world": value}
    return {} if value == "town" else {"set": value} if value in CONDITIONS else value


def make_questions(source: Questions, conditions: Iterable[str]) -> list[Question]:
    """What is asked under these conditions; a file's questions say their conditions themselves.

    Raises:
        ConfigError: The world has no such condition.
        DataError: The file cannot be used.
    """
    if isinstance(source, Path):
        return read_questions(source)
    if isinstance(source, OpenQuestions):
        path = source.held_out_of
        rows = [] if path is None else read_chat(path)
        taken = dates_in(message.content for row in rows for message in row.messages)
        return open_questions(source.set, conditions, source.days, taken)
    if isinstance(source, TownQuestions):
        return town_questions(load_lexicon(), source.domain, conditions, source.styles)
    if isinstance(source, WorkshopQuestions):
        return workshop_questions(conditions)
    return chronicle_questions(source.part, conditions)
