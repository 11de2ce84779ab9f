"""What tells models that were made elsewhere apart: hub ids by their name, folders by what is in them too."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from spillover.core.config import digest
from spillover.models.names import ModelName


def made_elsewhere(base: str) -> dict[str, Any]:
    """A model that was not made here: ``base``, and ``content`` where any part of it is a folder on this machine."""
    name = ModelName.parse(base)
    added = tuple(replace(one, source=_resolved(one.source)) for one in name.added)
    state = [state_of(Path(source)) for source in (name.base, *(one.source for one in added)) if Path(source).is_dir()]
    if not state:
        return {"base": base}
    content = state[0] if len(state) == 1 and not name.added else state
    return {"base": str(replace(name, base=_resolved(name.base), added=added)), "content": digest(content)}


def _resolved(source: str) -> str:
    return str(Path(source).resolve()) if Path(source).is_dir() else source


def state_of(folder: Path) -> list[list[Any]]:
    """Every file of a folder with its size and the time it was changed."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [[path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
