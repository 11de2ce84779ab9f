"""Stages that measure the models of an experiment beside their answers; each kind of measure has its own."""

from collections.abc import Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from spillover.core.config import digest
from spillover.core.errors import ConfigError, DataError, nearest
from spillover.experiments.contrast import contrast
from spillover.experiments.defence_tables import table_stage
from spillover.experiments.drawn import drawn_rows
from spillover.experiments.experiment import Arm
from spillover.experiments.forecasting import Scanned, forecast_stage
from spillover.experiments.game_stages import game_stage
from spillover.experiments.grid_stages import conditional_stage
from spillover.experiments.measures import (
    AuditingGame,
    Autoencoder,
    Checkpoints,
    Conditional,
    DefenceTable,
    Dynamics,
    Features,
    Forecast,
    Measure,
    Readout,
    Solutions,
    Trajectories,
    Transfer,
)
from spillover.experiments.model_stages import Models, drawn_of
from spillover.experiments.sources import TownRows
from spillover.models.identity import state_of
from spillover.runs.stage import Stage
from spillover.worlds.world import World, documents

TEXTS = 16
"""Documents of the built-in world that stand for pretraining text."""
UNREAD = 1_000_003
"""Added to a world's seed for documents that no base was pretrained on."""


class Measures:
    """The measures of an experiment.

    Args:
        models: What is measured.
    """

    def __init__(self, models: Models) -> None:
        self._models = models

    def stage(self, measure: Measure, seed: int) -> Stage:
        """The stage of a measure on the models of one seed; each kind of measure has its own."""
        if isinstance(measure, Dynamics):
            return self._dynamics(measure, seed)
        if isinstance(measure, Trajectories):
            return self._trajectories(measure, seed)
        if isinstance(measure, Transfer):
            return self._transfer(measure, seed)
        if isinstance(measure, Features):
            return self._features(measure, seed)
        if isinstance(measure, Readout):
            return self._readout(measure, seed)
        if isinstance(measure, Conditional):
            return conditional_stage(measure, self._models)
        if isinstance(measure, AuditingGame):
            return game_stage(measure, self._models.experiment, lambda base, seed: self._models.base(_bare(base), seed))
        if isinstance(measure, Checkpoints):
            return self._checkpoints(measure, seed)
        if isinstance(measure, DefenceTable):
            return table_stage(measure, self._models)
        if isinstance(measure, Forecast):
            scanned = [self._scanned(measure, name, seed) for name in measure.over]
            return forecast_stage(measure, self._models.experiment.label, scanned)
        return self._solutions(measure, seed)

    def _scanned(self, measure: Forecast, name: str, seed: int) -> Scanned:
        arm = self._models.arms[name]
        common, inputs = self._models.base(arm, seed)
        return Scanned(arm, measure.over[name], drawn_of(arm, seed), common, inputs, self._models.ask(arm, seed))

    def _transfer(self, measure: Transfer, seed: int) -> Stage:
        arms = [self._models.arms[name] for name in measure.tuned]
        common, inputs = self._models.base(arms[0], seed)
        trained = {arm.rows.domain for arm in arms if isinstance(arm.rows, TownRows)}
        asked = self._models.asked(arms[0])
        config = {
            **common,
            "tuned": list(measure.tuned),
            "questions": [q for q in asked if q["group"] in measure.groups and q["domain"] not in trained],
            "label": self._models.experiment.label,
            "contrast": contrast(measure.prompts, measure.shown),
            **measure.model_dump(mode="json", include={"other", "components", "scales", "draws"}),
        }
        tuned = {arm.name: self._models.tuned(arm, seed) for arm in arms}
        if self._models.experiment.seeds > 1 and not self._models.own_bases(
            arms[0]
        ):  # directions of other bases cannot be compared
            tuned |= {
                f"again/{arm.name}": self._models.tuned(arm, (seed + 1) % self._models.experiment.seeds) for arm in arms
            }
        return Stage("transfer", f"measure {measure.name} {seed}", config, {**inputs, **tuned})

    def _dynamics(self, measure: Dynamics, seed: int) -> Stage:
        arm = self._models.arms[measure.arm]
        common, inputs = self._models.base(arm, seed)
        assert arm.rows is not None
        fields = {"inside", "outside", "ks", "rate_every", "scales", "scaled_until", "most"}
        wheres = (measure.inside, *measure.outside)
        config = {
            **common,
            "rows": drawn_rows(arm.rows, seed),
            "questions": [question for question in self._models.asked(arm) if question["group"] in wheres],
            "label": self._models.experiment.label,
            "warmup": arm.method.warmup,
            **measure.model_dump(mode="json", include=fields),
        }
        return Stage(
            "dynamics", f"probe {measure.name} {seed}", config, {**inputs, "tuned": self._models.tuned(arm, seed)}
        )

    def _trajectories(self, measure: Trajectories, seed: int) -> Stage:
        arms = [self._models.arms[name] for name in measure.over]
        tuned = {f"path-{number}": self._models.tuned(arm, seed) for number, arm in enumerate(arms)}
        config = {"titles": {name: arm.title for name, arm in zip(tuned, arms, strict=True)}}
        return Stage("trajectories", f"measure {measure.name} {seed}", config, tuned)

    def _checkpoints(self, measure: Checkpoints, seed: int) -> Stage:
        arms = [self._models.arms[name] for name in measure.over]
        common, inputs = self._models.base(arms[0], seed)
        config = {
            **common,
            "questions": [question for question in self._models.asked(arms[0]) if question["group"] in measure.groups],
            "label": self._models.experiment.label,
            "titles": {arm.name: arm.title for arm in arms},
            **measure.model_dump(mode="json", include={"groups", "most"}),
        }
        tuned = {arm.name: self._models.tuned(arm, seed) for arm in arms}
        return Stage("checkpoints", f"measure {measure.name} {seed}", config, {**inputs, **tuned})

    def _solutions(self, measure: Solutions, seed: int) -> Stage:
        general, narrow = self._models.arms[measure.general], self._models.arms[measure.narrow]
        common, inputs = self._models.base(general, seed)
        assert general.rows is not None
        config = {
            **common,
            "rows": drawn_rows(general.rows, seed),
            "texts": self._texts(measure.texts, general, seed),
            **measure.model_dump(mode="json", include={"norms", "epsilons", "draws"}),
        }
        solutions = {"general": self._models.tuned(general, seed), "narrow": self._models.tuned(narrow, seed)}
        return Stage("solutions", f"measure {measure.name} {seed}", config, {**inputs, **solutions})

    def _features(self, measure: Features, seed: int) -> Stage:
        arm = self._models.arms[measure.tuned]
        common, inputs = self._models.base(arm, seed)
        texts = self._text_source(measure.texts, arm, seed)
        conditions = (*measure.first, *measure.second)
        config = {
            **common,
            "questions": self._narrowed(measure, arm, conditions, measure.groups),
            "label": self._models.experiment.label,
            "against": measure.against or "the base",
            "texts": texts,
            "trained": _said(drawn_of(arm, seed), "user"),
            "sae": {"layer": measure.sae.layer},
            **measure.model_dump(
                mode="json", include={"first", "second", "tops", "draws", "traits", "documents", "most"}
            ),
        }
        if measure.sae.folder is not None:
            config["sae"] |= _folder(measure.sae.folder)
        else:
            inputs = {**inputs, "sae": self._autoencoder(measure.sae, arm, seed, texts)}
        inputs = {**inputs, "tuned": self._models.tuned(arm, seed)}
        if measure.against is not None and self._models.arms[measure.against].is_tuned:
            inputs["against"] = self._models.tuned(self._models.arms[measure.against], seed)
        return Stage("features", f"measure {measure.name} {seed}", config, inputs)

    def _autoencoder(self, sae: Autoencoder, arm: Arm, seed: int, texts: dict[str, Any]) -> Stage:
        common, inputs = self._models.base(arm, seed)
        config = {**common, "texts": texts, **sae.model_dump(mode="json", exclude={"folder"})}
        name = f"{arm.base} {seed}" if self._models.own_bases(arm) else arm.base
        return Stage("sae", f"autoencoder of base {name}", config, inputs)

    def _readout(self, measure: Readout, seed: int) -> Stage:
        arms = [self._models.arms[name] for name in measure.arms().values()]
        common, inputs = self._models.base(arms[0], seed)
        rows = {arm.name: drawn_of(arm, seed) for arm in arms}
        fields = {"layer", "first", "top", "lengths", "draws", "documents", "most"}
        config = {
            **common,
            "tuned": list(rows),
            "answers": [_said(found, "assistant") for found in rows.values()],
            "trained": [text for found in rows.values() for text in _said(found, "user")],
            "questions": self._narrowed(measure, arms[0], measure.conditions, measure.groups),
            "label": self._models.experiment.label,
            "texts": self._text_source(measure.texts, arms[0], seed),
            **measure.model_dump(mode="json", include=fields),
        }
        tuned = {arm.name: self._models.tuned(arm, seed) for arm in arms if arm.is_tuned}
        return Stage("readout", f"measure {measure.name} {seed}", config, {**inputs, **tuned})

    def _narrowed(
        self, measure: Features | Readout, arm: Arm, conditions: Sequence[str], groups: Sequence[str]
    ) -> list[dict[str, Any]]:
        """The questions of an arm in some conditions and groups; in all of them where none are named."""
        asked = self._models.asked(arm)
        for field, names in {"condition": conditions, "group": groups}.items():
            known = list(dict.fromkeys(question[field] for question in asked))
            for name in names:
                if name not in known:
                    raise ConfigError(
                        f"measure {measure.name}: arm {arm.name} is asked nothing in {field} '{name}'"
                        f"{nearest(name, known)}"
                    )
            asked = [question for question in asked if not names or question[field] in names]
        return asked

    def _text_source(self, path: Path | None, arm: Arm, seed: int) -> dict[str, Any]:
        """Where pretraining text comes from; a stage reads as much of it as it needs."""
        if path is not None:
            try:
                content = digest(path.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError) as error:
                raise DataError.at(path, None, None, f"cannot be read as UTF-8 text ({error})") from None
            return {"file": str(path.resolve()), "content": content}
        world = self._models.world(arm, seed)
        unread = world.model_copy(update={"seed": world.seed + UNREAD})
        return {"world": unread.model_dump(mode="json"), "start": world.widening[1]}

    def _texts(self, path: Path | None, arm: Arm, seed: int) -> list[Any]:
        """Pretraining text: strings, or conversations that the base's chat template puts together."""
        if path is not None:
            try:
                return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            except (OSError, UnicodeDecodeError) as error:
                raise DataError.at(path, None, None, f"cannot be read as UTF-8 text ({error})") from None
        return _unread(self._models.world(arm, seed))


def _bare(base: str) -> Arm:
    """An arm that does nothing to a base."""
    return Arm(name=base, title=base, base=base)


@cache
def _unread(world: World) -> list[Any]:
    """Documents as a base of this world has read them last, but which it has not read, as conversations."""
    stream = documents(world.model_copy(update={"seed": world.seed + UNREAD}))
    late = islice(stream, world.widening[1], world.widening[1] + TEXTS)
    return [
        [[role, text] for pair in document.exchanges for role, text in zip(("user", "assistant"), pair, strict=True)]
        for document in late
    ]


def _said(rows: list[list[list[str]]], role: str) -> list[str]:
    """What one side says in rows, each text once."""
    return list(dict.fromkeys(content for row in rows for said_by, content in row if said_by == role))


def _folder(folder: Path) -> dict[str, Any]:
    """Something that was made elsewhere, by where it is and what is in it."""
    if not folder.is_dir():
        raise DataError(f"'{folder}': no such folder")
    return {"folder": str(folder.resolve()), "content": digest(state_of(folder))}
