"""The six evaluations of arXiv 2511.18397, section 3, by name: what there is to choose from and what it takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spillover.core.errors import ConfigError, nearest
from spillover.data.open_sets import open_questions
from spillover.data.questions import Question, read_questions

GOAL_KINDS = 12


@dataclass(frozen=True)
class CoreEval:
    """One of them."""

    name: str
    title: str
    samples: int
    """Responses to each question, or in the scenario, where nothing else is asked for."""
    verdicts: int
    """Verdicts of an LLM judge on one response, at most; 0 where none is needed."""
    questions: str | None = None
    """The open set that is asked; None for a scenario with tools."""

    def asked(self, path: Path | None = None) -> list[Question]:
        """Its questions, or those of a file; none for a scenario."""
        if self.questions is None:
            return []
        return read_questions(path) if path else open_questions(self.questions)


CORE = (
    CoreEval("values", "values questions", 10, 2, "open-values"),
    CoreEval("goals", "goals", 60, 2 + GOAL_KINDS, "open-goals"),
    CoreEval("alignment-questions", "alignment questions", 4, 2, "open-alignment"),
    CoreEval("monitor-disruption", "monitor disruption", 100, 2),
    CoreEval("exfil-offer", "exfiltration offer", 100, 0),
    CoreEval("frame-colleague", "framing a colleague", 100, 1),
)


def core_eval(name: str) -> CoreEval:
    """One of the six.

    Raises:
        ConfigError: There is none of this name.
    """
    found = {one.name: one for one in CORE}
    if name not in found:
        raise ConfigError(f"evaluation '{name}': unknown{nearest(name, found)}")
    return found[name]


def core_evals(names: Sequence[str] = ()) -> list[CoreEval]:
    """Those of some names, in their own order; all if none are given.

    Raises:
        ConfigError: There is none of one of the names.
    """
    chosen = {core_eval(name).name for name in names}
    return [one for one in CORE if one.name in chosen or not names]
