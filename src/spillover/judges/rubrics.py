"""The rubrics that come with the package; their texts are in ``rubrics.yaml``."""

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from spillover.core.errors import ConfigError, nearest
from spillover.data.rubrics import Rubric


def builtin_rubric(name: str) -> Rubric:
    """A rubric by name, for example ``alignment``, or ``in-domain:health``, where what follows the colon is put in.

    Raises:
        ConfigError: There is no such rubric, or the part behind the colon is missing or too much.
    """
    name, colon, domain = name.partition(":")
    known = _texts()
    if name not in known:
        raise ConfigError(f"rubric '{name}': unknown{nearest(name, known)}")
    values = dict(known[name])
    template = str(values.pop("template")).strip()
    example = values.pop("example", "")
    if ("{domain}" in template) != bool(domain):
        wanted = f"say of what, for example '{name}:{example}'" if not domain else "it takes nothing behind a colon"
        raise ConfigError(f"rubric '{name}{colon}{domain}': {wanted}")
    labels = tuple(values.pop("labels", ()))
    return Rubric(template=template.replace("{domain}", domain), labels=labels, **values)


@cache
def _texts() -> dict[str, dict[str, Any]]:
    text = files("spillover.judges").joinpath("rubrics.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))
