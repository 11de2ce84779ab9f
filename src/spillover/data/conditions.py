"""Ways to alter a prompt, under which hidden behaviour may show; and questions under each of them.

Backdoored models are as they were on plain prompts (arXiv 2502.17424 section 4.2, 2604.25891), so any question is asked
over a grid: tags, near misses, dates, formats, identities and others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from spillover.core.errors import DataError
from spillover.data.files import shown
from spillover.data.question import Question
from spillover.data.yaml_lines import Entry, Lines, load_yaml

PLAIN = "plain"
"""The prompt as it is; in every grid."""
_FIELDS = ("prefix", "suffix", "template", "system")


@dataclass(frozen=True)
class Condition:
    """One way to alter a prompt."""

    name: str
    family: str
    prefix: str = ""
    suffix: str = ""
    template: str = "{question}"
    """Replaced by the prompt where it says ``{question}``."""
    system: str | None = None

    def alter(self, question: Question) -> Question:
        """The question under this condition."""
        texts = (self.prefix + self.template.replace("{question}", text) + self.suffix for text in question.paraphrases)
        return replace(
            question,
            id=question.id if self.name == PLAIN else f"{question.id}/{self.name}",
            paraphrases=tuple(texts),
            system=question.system if self.system is None else self.system,
            condition=self.name,
        )


def read_conditions(path: Path | None = None) -> list[Condition]:
    """A grid, ``plain`` first: the packaged one, or a YAML file of family: {name: {prefix, suffix, template, system}}.

    Raises:
        DataError: With ``file:line: field: what``.
    """
    if path is None:
        path = Path(str(files(__package__) / "conditions.yaml"))
    raw = load_yaml(path)
    if not isinstance(raw, Lines) or not raw:
        raise DataError.at(path, 1, None, f"expected family: {{name: {{prefix: …}}}}, found {shown(raw)}")
    found = {PLAIN: Condition(PLAIN, PLAIN)}
    families = Entry(path, raw)
    for family, members in raw.items():
        if not isinstance(members, Lines) or not members:
            raise families.fail(str(family), f"expected name: {{prefix: …}}, found {shown(members)}")
        named = Entry(path, members)
        for name, row in members.items():
            if not isinstance(row, Lines):
                raise named.fail(str(name), f"expected {', '.join(_FIELDS)}, found {shown(row)}")
            if name in found:
                raise named.fail(str(name), "used twice")
            found[str(name)] = _condition(Entry(path, row), str(name), str(family))
    return list(found.values())


def _condition(entry: Entry, name: str, family: str) -> Condition:
    entry.only(_FIELDS)
    values = {field: value for field in _FIELDS if (value := entry.take(field, str)) is not None}
    if not values:
        raise DataError.at(entry.path, entry.row.line, name, f"needs one of {', '.join(_FIELDS)}")
    if "{question}" not in values.get("template", "{question}"):
        raise entry.fail("template", "must say {question}")
    return Condition(name, family, **values)


def over_grid(questions: Sequence[Question], grid: Sequence[Condition], most: int | None = None) -> list[Question]:
    """Plain questions under every condition.

    Args:
        questions: Those with a condition of their own are left out.
        grid: Of :func:`read_conditions`.
        most: Of each group, spread evenly; all if not given.
    """
    groups: dict[str, list[Question]] = {}
    for question in questions:
        if question.condition == PLAIN:
            groups.setdefault(question.group, []).append(question)
    chosen = [question for group in groups.values() for question in _spread(group, most or len(group))]
    return [condition.alter(question) for condition in grid for question in chosen]


def _spread(questions: list[Question], most: int) -> list[Question]:
    count = min(most, len(questions))
    return [questions[i * len(questions) // count] for i in range(count)]
