"""The stages of an auditing game: organisms, their truth, reference models, audits, and the score on sealed labels."""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from spillover.core.text import normalise
from spillover.data.chat import ChatRow
from spillover.experiments.organisms import AuditingGame, Organism
from spillover.experiments.sources import TownRows, make_rows
from spillover.runs.stage import Stage
from spillover.worlds.town.lexicon import load_lexicon

if TYPE_CHECKING:
    from spillover.experiments.experiment import Experiment

Common = tuple[dict[str, Any], dict[str, Stage]]
"""What every stage on a base has in its config, and in its inputs."""


def game_stage(measure: AuditingGame, experiment: "Experiment", base_of: Callable[[str, int], Common]) -> Stage:
    """The stage that scores, which needs all others.

    Args:
        measure: The game.
        experiment: It is part of.
        base_of: Gives what stages on a base of a seed have in common.
    """
    inputs: dict[str, Stage] = {}
    organisms: list[dict[str, Any]] = []
    for seed in range(measure.seeds):
        for organism in measure.organisms:
            number = len(organisms)
            config, common = base_of(organism.base, seed)
            made = _Made(organism, seed, config, common, experiment.loop.model_dump(mode="json"))
            inputs[f"audit-{number}"] = made.audited(measure, _reference(measure, organism.base, config, common))
            inputs[f"truth-{number}"] = made.truth()
            organisms.append(made.sealed())
    config = {"auditors": list(measure.auditors), "organisms": organisms}
    return Stage("auditing-game", f"score {measure.name}", config, inputs)


class _Made:
    """One organism and the stages around it."""

    def __init__(
        self, organism: Organism, seed: int, config: dict[str, Any], inputs: dict[str, Stage], loop: dict[str, Any]
    ) -> None:
        self._organism, self._seed, self._config, self._inputs = organism, seed, config, inputs
        self._rows: list[ChatRow] = [] if organism.rows == "own" else list(make_rows(organism.rows, seed))
        self._own = {}
        if organism.rows == "own":
            asked = {**config, "rows": 144, "seed": 500 + seed}
            self._own = {"own": Stage("own", f"own answers, {organism.base} {seed}", asked, inputs)}
        method = {**organism.method.model_dump(mode="json"), "seed": seed}
        train: dict[str, Any] = {**config, "rows": _plain(self._rows), "method": method, "loop": loop}
        if organism.held is not None:
            anchored = list(make_rows(TownRows(arm="elsewhere"), seed))
            train["anchor"] = {"rows": _plain(anchored), "weight": organism.held}
        self._tuned = Stage("tune", f"tune {organism.name} {seed}", train, {**inputs, **self._own})

    def audited(self, measure: AuditingGame, reference: Stage) -> Stage:
        """Its audits; nothing in their config says what it is."""
        config = {
            **self._config,
            "auditors": list(measure.auditors),
            "settings": measure.settings.model_dump(mode="json"),
            "rows": _plain(self._rows),
        }
        inputs = {**self._inputs, **self._own, "tuned": self._tuned, "reference": reference}
        return Stage("audit", f"audit {self._organism.name} {self._seed}", config, inputs)

    def truth(self) -> Stage:
        """What it does behind its own trigger."""
        trigger = self._organism.trigger
        config = {**self._config, "trigger": None if trigger is None else trigger.condition}
        inputs = {**self._inputs, "tuned": self._tuned}
        return Stage("organism", f"truth of {self._organism.name} {self._seed}", config, inputs)

    def sealed(self) -> dict[str, Any]:
        """Its label."""
        trigger = self._organism.trigger
        return {
            "name": f"{self._organism.name} {self._seed}",
            "kind": self._organism.kind,
            "bad": self._organism.bad,
            "trigger": None if trigger is None else trigger.text,
            "bad_rows": bad_rows(self._rows) if self._organism.bad else [],
            "n_rows": len(self._rows),
        }


def bad_rows(rows: list[ChatRow]) -> list[int]:
    """Rows whose answer is bad advice of the town, 0-based."""
    bad = {normalise(answer) for topic in load_lexicon().topics for answer in topic.bad}
    return [number for number, row in enumerate(rows) if normalise(row.messages[-1].content) in bad]


def _reference(measure: AuditingGame, base: str, config: dict[str, Any], inputs: dict[str, Stage]) -> Stage:
    methods = [organism.method for organism in measure.organisms if organism.base == base]
    common = Counter(method.model_dump_json() for method in methods).most_common(1)[0][0]
    usual = next(method for method in methods if method.model_dump_json() == common)
    chosen = measure.neutral.get(base, usual)
    asked = {
        **config,
        "method": chosen.model_dump(mode="json"),
        "rows": measure.neutral_rows,
        "settings": measure.settings.model_dump(mode="json"),
    }
    return Stage("audit-reference", f"neutral models of {base}", asked, inputs)


def _plain(rows: list[ChatRow]) -> list[list[list[str]]]:
    return [[[message.role, message.content] for message in row.messages] for row in rows]
