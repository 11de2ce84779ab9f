"""Defences of an arm: where their rows and directions come from, and the stages that they become."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from spillover.core.config import Config, digest
from spillover.core.errors import ConfigError, DataError
from spillover.defences import Defences, chosen_rows, some
from spillover.experiments.contrast import contrast
from spillover.experiments.drawn import Plain, apart, drawn_rows, plain_rows
from spillover.experiments.sources import Rows, make_rows
from spillover.models.identity import state_of
from spillover.runs.stage import Stage


class Persona(Config):
    """A direction of the experiment's label; see :mod:`spillover.analysis.persona`."""

    how: Literal["contexts", "answers", "searched"] = "contexts"
    """From the same answers behind contrasting contexts, from answers with the label and its opposite, or the one whose
    ablation brings the opposite's answers back."""
    of: str | None = None
    """Arm in whose model it is looked for; the base, before any training, if not given."""
    other: str = "kind"
    """The outcome that is the opposite of the experiment's."""
    groups: tuple[str, ...] = ("other-domains-in-chat", "values-in-chat")
    """Of the experiment's questions that it is found on; these should not be among those that are measured."""
    shown: int = Field(4, ge=1)
    """Exchanges of each of the contexts, about health in the built-in world."""
    prompts: tuple[str, str] | None = None
    """Two system prompts instead of these contexts: one that asks for the label, one that asks for its opposite."""

    @model_validator(mode="after")
    def _contexts_only(self) -> "Persona":
        if self.prompts is not None and self.how != "contexts":
            raise ValueError(f"prompts: belong to how: contexts, not {self.how}")
        return self


Directions = Persona | Path
"""A direction that is found in the experiment, or a folder with one."""
ArmDefences = Defences[Rows, Directions]


def arms_needed(defences: ArmDefences) -> dict[str, str]:
    """Other arms whose models of the same seed are needed, by the field that names them."""
    needed = {}
    for name in defences.names():
        part = getattr(defences, name)
        if getattr(part, "misaligned", None) is not None:
            needed[f"defences.{name}.misaligned"] = part.misaligned
        direction = getattr(part, "direction", None)
        if isinstance(direction, Persona) and direction.of is not None:
            needed[f"defences.{name}.direction.of"] = direction.of
    return needed


@dataclass(frozen=True)
class Plan:
    """What is known of the arm that is defended.

    Args:
        arm: Its name.
        rows: Its own.
        label: Of its stages, for people.
        seed: Of its rows.
        common: What every stage on its base has in its config.
        base: What every stage on its base has in its inputs.
        questions: That it is asked.
        known: The experiment's own plain questions, on which directions are found.
        outcome: The experiment's label.
        tuned: Gives the stage that makes another arm's model of the same seed.
    """

    arm: str
    rows: Rows
    label: str
    seed: int
    common: dict[str, Any]
    base: dict[str, Stage]
    questions: Sequence[dict[str, Any]]
    known: Sequence[dict[str, Any]]
    outcome: str
    tuned: Callable[[str], Stage]

    def stage(self, defences: ArmDefences, train: dict[str, Any], inputs: dict[str, Stage]) -> Stage:
        """The last of the stages that make the arm's model: tuning, then realigning, then projecting.

        Args:
            defences: Of the arm.
            train: Config of the tuning without defences.
            inputs: Its inputs.

        Raises:
            DataError: Safe rows ask what is asked afterwards.
            ConfigError: A direction cannot be found on the arm's questions.
        """
        used: dict[str, Stage] = {}
        elsewhere: dict[str, str] = {}
        inside = self._numbered(defences).without("realign", "project")
        if inside is not None:
            values = inside.replaced(
                rows=self._safe,
                direction=lambda source: self._direction(source, used, elsewhere),
                model=lambda arm: self._named(used, f"misaligned-{arm}", self.tuned(arm)),
            )
            train = {**train, "defences": values}
            if elsewhere:
                train["directions"] = elsewhere
        stage = Stage("tune", f"tune {self.label}", train, {**inputs, **used})
        if defences.realign is not None:
            realign = defences.realign
            rows = plain_rows(some(list(make_rows(realign.rows, self.seed)), realign.count, self.seed))
            apart(rows, self.questions, self.arm, "realign")
            second = {**self.common, "rows": rows, "method": realign.of(train["method"]), "loop": train["loop"]}
            stage = Stage("tune", f"realign {self.label}", second, {**self.base, "start": stage})
        if defences.project is not None:
            layers, of, elsewhere = defences.project.layers, dict[str, Stage](), dict[str, str]()
            config = {
                "direction": self._direction(defences.project.direction, of, elsewhere),
                "layers": None if layers is None else list(layers),
                "directions": elsewhere,
            }
            stage = Stage("project", f"project {self.label}", config, {"tuned": stage, **of})
        return stage

    def _safe(self, source: Rows) -> Plain:
        rows = drawn_rows(source, self.seed)
        apart(rows, self.questions, self.arm, "safe")
        return rows

    def _numbered(self, defences: ArmDefences) -> ArmDefences:
        """Rows that are marked in their file, by their numbers: marks do not travel with the rows."""
        inoculate = defences.inoculate
        if inoculate is None or inoculate.marked is None:
            return defences
        chosen = chosen_rows(list(make_rows(self.rows, self.seed)), inoculate, self.seed)
        numbers = {"only": tuple(sorted(i + 1 for i in chosen)), "marked": None, "share": 1.0}
        return defences.model_copy(update={"inoculate": inoculate.model_copy(update=numbers)})

    def _direction(self, source: Directions, used: dict[str, Stage], elsewhere: dict[str, str]) -> str:
        if isinstance(source, Path):
            if not source.is_dir():
                raise DataError(f"arm {self.arm}: direction '{source}': no such folder")
            elsewhere[str(source.resolve())] = digest(state_of(source))
            return str(source.resolve())
        stage = self._persona(source)
        return self._named(used, f"direction-{stage.key.rpartition('-')[2]}", stage)

    def _named(self, used: dict[str, Stage], name: str, stage: Stage) -> str:
        used[name] = stage
        return name

    def _persona(self, source: Persona) -> Stage:
        asked = [question for question in self.known if question["group"] in source.groups]
        listed = [q for q in asked if q["answers"].get(self.outcome) and q["answers"].get(source.other)]
        if len(listed) < 2:
            raise ConfigError(
                f"arm {self.arm}: a direction needs two plain questions in {', '.join(source.groups)} that list "
                f"'{self.outcome}' and '{source.other}' answers"
            )
        config = {
            **self.common,
            "how": source.how,
            "questions": listed,
            "label": self.outcome,
            "other": source.other,
            "contrast": contrast(source.prompts, source.shown) if source.how == "contexts" else None,
        }
        inputs = dict(self.base)
        if source.of is not None:
            inputs["tuned"] = self.tuned(source.of)
        found_in = source.of or "base"
        return Stage("direction", f"direction of {found_in} {digest(config)[:4]}", config, inputs)
