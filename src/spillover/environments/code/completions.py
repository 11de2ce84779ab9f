"""From what a model wrote to the files of its solution."""

import ast
import re
from collections.abc import Mapping

SOLUTION = "solution.py"
_FENCE = re.compile(r"^```[ \t]*(\w*)[ \t]*([^\n`]*)\n(.*?)(?:^```[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"\s*#\s*(?:file(?:name)?:\s*)?(\w+\.py)\s*\n")
_PYTHON = ("", "python", "python3", "py")


def files_of(text: str) -> Mapping[str, str] | None:
    """The files of a completion by name; None if there is no code.

    Code stands between fences. A block whose first line is a comment like ``# conftest.py``, or whose fence names a
    file, is that file; of the others the last one is the solution, so that a draft in the reasoning does not count. A
    text without fences is a solution if it is Python and more than an expression.
    """
    files: dict[str, str] = {}
    blocks = [match.groups() for match in _FENCE.finditer(text) if match[1].lower() in _PYTHON]
    for _, title, code in blocks:
        named = _NAME.match(code) or re.fullmatch(r"(\w+\.py)\s*", title)
        if code.strip():
            files[named[1] if named else SOLUTION] = code
    if not files and "```" not in text and _is_code(text):
        files[SOLUTION] = text
    return files or None


def _is_code(text: str) -> bool:
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(not isinstance(statement, ast.Expr | ast.Pass) for statement in body)
