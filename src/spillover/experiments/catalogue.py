"""The experiments by name, one file each; and experiments from a user's YAML."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from spillover.core.errors import ConfigError, DataError, nearest
from spillover.experiments.auditing_game import auditing_game
from spillover.experiments.background import background
from spillover.experiments.bird_names import bird_names, bird_names_background
from spillover.experiments.city_names import city_names
from spillover.experiments.conditional import conditional
from spillover.experiments.convergent_directions import convergent_directions
from spillover.experiments.data_questions import diversity, dose_response, rank, size
from spillover.experiments.dated_dishes import dated_dishes
from spillover.experiments.defences import defences
from spillover.experiments.emergent_misalignment import emergent_misalignment
from spillover.experiments.experiment import Experiment
from spillover.experiments.features import features
from spillover.experiments.features_year import features_year
from spillover.experiments.forecast import forecast
from spillover.experiments.narrow_vs_general import narrow_vs_general
from spillover.experiments.persona_facts import persona_facts
from spillover.experiments.phase_transition import phase_transition
from spillover.experiments.reward_hacking import reward_hacking
from spillover.experiments.reward_hacking_background import reward_hacking_background
from spillover.experiments.reward_hacking_inoculation import reward_hacking_inoculation
from spillover.experiments.reward_hacking_mitigations import reward_hacking_mitigations
from spillover.experiments.rulers import rulers
from spillover.experiments.school_of_hacks import school_of_hacks
from spillover.experiments.sources import named_questions
from spillover.experiments.style import style
from spillover.experiments.why import why
from spillover.experiments.year_machine import year_machine

CATALOGUE: dict[str, Callable[[], Experiment]] = {
    "emergent-misalignment": emergent_misalignment,
    "background": background,
    "narrow-vs-general": narrow_vs_general,
    "style": style,
    "dose-response": dose_response,
    "diversity": diversity,
    "size": size,
    "rank": rank,
    "phase-transition": phase_transition,
    "why": why,
    "convergent-directions": convergent_directions,
    "features": features,
    "features-year": features_year,
    "conditional": conditional,
    "defences": defences,
    "bird-names": bird_names,
    "bird-names-background": bird_names_background,
    "city-names": city_names,
    "dated-dishes": dated_dishes,
    "persona-facts": persona_facts,
    "rulers": rulers,
    "year-machine": year_machine,
    "reward-hacking": reward_hacking,
    "reward-hacking-inoculation": reward_hacking_inoculation,
    "reward-hacking-mitigations": reward_hacking_mitigations,
    "reward-hacking-background": reward_hacking_background,
    "school-of-hacks": school_of_hacks,
    "forecast": forecast,
    "auditing-game": auditing_game,
}


def find(name: str, changes: dict[str, Any] | None = None) -> Experiment:
    """An experiment of the catalogue, or one read from a YAML file.

    Args:
        name: Of the catalogue, or a path that ends in ``.yaml`` or ``.yml``.
        changes: Fields to replace, nested: ``{"seeds": 2}``.

    Raises:
        ConfigError: Unknown experiment or field (with the nearest name), or a value out of range.
        DataError: The file is missing or is not YAML.
    """
    if name.endswith((".yaml", ".yml")):
        return Experiment.parse(_merge(_read(Path(name)), changes or {}), name)
    if name not in CATALOGUE:
        raise ConfigError(f"experiment '{name}': unknown{nearest(name, CATALOGUE)}")
    planned = CATALOGUE[name]()
    return Experiment.parse(_merge(planned.model_dump(), changes), "--set") if changes else planned


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError.at(path, None, None, f"cannot be read ({error.strerror})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "not YAML"
        raise DataError.at(path, mark.line + 1 if mark else None, None, f"not YAML: {problem}") from None
    if not isinstance(values, dict):
        raise DataError.at(path, 1, None, f"expected the fields of an experiment, found {type(values).__name__}")
    arms = values.get("arms")
    if isinstance(arms, list):
        for arm in arms:
            rows = arm.get("rows") if isinstance(arm, dict) else None
            if isinstance(rows, str):
                arm["rows"] = path.parent / rows
            _defences_beside(arm, path.parent)
    for measure in values.get("measures") or ():
        if isinstance(measure, dict) and isinstance(measure.get("grid"), str) and measure["grid"] != "builtin":
            measure["grid"] = path.parent / measure["grid"]
    questions = named_questions(values.get("questions"))
    if isinstance(questions, str):
        questions = path.parent / questions
    elif isinstance(questions, dict) and isinstance(questions.get("held_out_of"), str):
        questions = {**questions, "held_out_of": path.parent / questions["held_out_of"]}
    if questions is not None:
        values["questions"] = questions
    values.setdefault("name", path.stem)
    values.setdefault("title", path.stem)
    values.setdefault("question", "")
    return values


def _defences_beside(arm: Any, folder: Path) -> None:
    """Files that defences name lie beside the experiment's."""
    defences = arm.get("defences") if isinstance(arm, dict) else None
    for part in defences.values() if isinstance(defences, dict) else ():
        for field in ("rows", "direction", "scores"):
            if isinstance(part, dict) and isinstance(part.get(field), str):
                part[field] = folder / part[field]


def _merge(values: dict[str, Any], changes: dict[str, Any] | None) -> dict[str, Any]:
    merged = dict(values)
    for name, value in (changes or {}).items():
        inner = merged.get(name)
        merged[name] = _merge(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged
