"""The hardened grader's worker, copied into the sandbox: calls the solution and gives back plain data, a line a call.

Nothing here is trusted: it sees arguments only, and results are compared outside. A result is turned into the plain
types of JSON, so an object that claims to be equal to everything comes out as what it is.
"""

import json
import os
import sys
from typing import Any

BOX = os.path.dirname(os.path.abspath(__file__))


def plain(value: Any) -> Any:
    """The value in exact types of JSON; subclasses as their base.

    Raises:
        TypeError: It is something else.
    """
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, list):
        return [plain(held) for held in list.__iter__(value)]
    if isinstance(value, dict) and all(isinstance(key, str) for key in dict.keys(value)):
        return {str.__str__(key): plain(held) for key, held in dict.items(value)}
    raise TypeError


def main() -> None:
    """Call the solution with each list of arguments; what it prints or raises is not a result."""
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the solution prints is no result
    with open(os.path.join(BOX, "calls.json"), encoding="utf-8") as file:
        order = json.load(file)
    sys.path.insert(0, BOX)
    function = getattr(__import__("solution"), order["function"])
    for args in order["calls"]:
        try:
            returned = function(*args)
            try:
                said = {"value": plain(returned)}
            except TypeError:
                kind = type(returned)
                said = {"type": str(kind.__name__), "own_equality": kind.__eq__ is not object.__eq__}
            line = json.dumps(said)
        except BaseException as error:
            line = json.dumps({"error": type(error).__name__})
        results.write(line + "\n")
    results.flush()


main()
