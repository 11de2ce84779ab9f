"""YAML in which every field knows its line, and which no file can make eat time or memory out of proportion."""

import gc
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from spillover.core.errors import DataError, nearest
from spillover.data.files import read_text, shown

DEEPEST = 50
"""Lists and mappings within each other. The parser in C would take the process down with it at some thousands."""
MOST_MERGED = 1_000_000
"""Fields that ``<<`` may copy in one file: a few lines of merges of merges can otherwise ask for any number."""
_MERGE, _TIMESTAMP = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:timestamp"


@contextmanager
def no_collection() -> Iterator[None]:
    """Without garbage collection: while many objects without cycles are made, it takes more time than all the rest."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class Lines(dict[Hashable, Any]):
    """A mapping that knows the line of each of its keys, and its own."""

    lines: dict[str, int]
    line: int


def load_yaml(path: Path) -> Any:
    """The content of a YAML file; mappings are :class:`Lines`, and dates stay text.

    Raises:
        DataError: With ``file:line: what``: it cannot be read, is not YAML, gives a field twice, is nested more than
            :data:`DEEPEST` levels deep, or holds an anchor that contains itself.
    """
    text = read_text(path)
    try:
        _look_at_depth(path, text)
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error)
        if "recursive" in what:
            what = "an anchor contains itself"
        raise DataError.at(path, mark.line + 1 if mark else None, None, f"not YAML ({_line(what)})") from None
    except (ValueError, OverflowError) as error:  # PyYAML's own conversion of numbers
        raise DataError.at(path, None, None, f"not YAML ({_line(str(error))})") from None
    except RecursionError:
        raise DataError.at(path, None, None, "anchors refer to each other too many levels deep") from None


class Entry:
    """A mapping of a YAML file, whose fields are taken by name and type; what is wrong is told with file and line."""

    def __init__(self, path: Path, row: Lines) -> None:
        self.path = path
        self.row = row

    def __contains__(self, name: str) -> bool:
        return self.row.get(name) is not None

    def fail(self, name: str, what: str) -> DataError:
        """The error for one field, at its line."""
        return DataError.at(self.path, self.row.lines.get(name, self.row.line), name, what)

    def only(self, known: Iterable[str]) -> None:
        """Refuse fields that are not known.

        Raises:
            DataError: Names the field and the nearest known one.
        """
        known = tuple(known)
        for name in self.row:
            if name not in known:
                raise self.fail(str(name), f"unknown field{nearest(str(name), known)}")

    def take(self, name: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        """The value of a field, or the default where it is absent or null.

        Raises:
            DataError: It is of another type.
        """
        value = self.row.get(name)
        if value is None:
            return default
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.fail(name, f"expected {_name(kind)}, found {shown(value)}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """The non-empty texts of a field that holds one or a list of them.

        Raises:
            DataError: It holds something else.
        """
        value = [self.row[name]] if isinstance(self.row[name], str) else self.row[name]
        if not isinstance(value, list) or not value:
            raise self.fail(name, f"expected a list of non-empty texts, found {shown(value)}")
        for number, text in enumerate(value, 1):
            if not isinstance(text, str) or not text.strip():
                quoted = "; put it in quotes" if isinstance(text, int | float) else ""
                raise self.fail(name, f"expected a list of non-empty texts, found {shown(text)} as {number}{quoted}")
        return tuple(value)


def _look_at_depth(path: Path, text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                line = event.start_mark.line + 1 if event.start_mark else None
                raise DataError.at(path, line, None, f"lists and mappings are more than {DEEPEST} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):  # type: ignore[misc]
    merged = 0

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping = Lines(super().construct_mapping(node, deep=deep))
        mapping.lines = {str(key.value): key.start_mark.line + 1 for key, _ in node.value}
        mapping.line = node.start_mark.line + 1
        return mapping

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Put merged fields (``<<``) in front of a mapping's own, each once."""
        merges = [value for key, value in node.value if key.tag == _MERGE]
        own: dict[Any, Any] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                continue
            name = key.value if isinstance(key, yaml.ScalarNode) else key
            if name in own:
                raise yaml.constructor.ConstructorError(None, None, f"'{name}' is given twice", key.start_mark)
            own[name] = (key, value)
        node.value = list(own.values())  # before parents are looked at: a mapping merged into itself comes to an end
        found: dict[Any, Any] = {}
        for merge in merges:
            # Aliases of one anchor are one node, so that merging it a thousand times is merging it once.
            for parent in dict.fromkeys(merge.value if isinstance(merge, yaml.SequenceNode) else [merge]):
                if not isinstance(parent, yaml.MappingNode):
                    what = "'<<' needs a mapping, or a list of mappings"
                    raise yaml.constructor.ConstructorError(None, None, what, parent.start_mark)
                self.flatten_mapping(parent)
                self.merged += len(parent.value)
                if self.merged > MOST_MERGED:
                    what = f"'<<' copies more than {MOST_MERGED} fields"
                    raise yaml.constructor.ConstructorError(None, None, what, parent.start_mark)
                for key, value in parent.value:
                    found.setdefault(key.value if isinstance(key, yaml.ScalarNode) else key, (key, value))
        if found:
            node.value = list({**found, **own}.values())


_Loader.add_constructor(
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, lambda loader, node: loader.construct_mapping(node, deep=True)
)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != _TIMESTAMP]
    for first, found in _Safe.yaml_implicit_resolvers.items()
}


def _line(what: str) -> str:
    return " ".join(what.split())


def _name(kind: type | tuple[type, ...]) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return {str: "text", dict: "a mapping", list: "a list", int: "a number", float: "a number"}[kinds[-1]]
