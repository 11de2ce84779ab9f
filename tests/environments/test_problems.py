"""Problem files: the built-in ones are sound, and a broken one is told with file and line."""

import ast
import textwrap

import pytest

from spillover.core.errors import ConfigError, DataError
from spillover.environments.code import CodeEnvironment, CodeSettings, read_problems
from spillover.environments.code.environment import question

GOOD = """\
- id: double
  difficulty: easy
  statement: Double a number.
  signature: double(n)
  visible:
    - {args: [1], returns: 2}
  hidden:
    - {args: [4], returns: 8}
  reference: |
    def double(n):
        return 2 * n
"""


def test_there_are_enough_problems_of_each_difficulty():
    problems = read_problems()
    counts = {level: sum(problem.difficulty == level for problem in problems) for level in ("easy", "medium", "hard")}
    assert len(problems) >= 60
    assert all(count >= 20 for count in counts.values())
    splits = [problem.split for problem in problems]
    assert 8 <= splits.count("test") <= 20
    assert all(len(problem.visible) >= 2 and len(problem.hidden) >= 3 for problem in problems)


def test_references_return_what_the_tests_ask_for():
    """Outside the sandbox: they are ours."""
    for problem in read_problems():
        namespace = {}
        exec(problem.reference, namespace)
        for example in (*problem.visible, *problem.hidden):
            args = ast.literal_eval(repr(example.args))
            assert namespace[problem.function](*args) == example.returns, (problem.id, example)


def test_prompts_show_visible_tests_only():
    for problem in read_problems():
        asked = question(problem)
        assert problem.signature in asked
        assert repr(problem.visible[0].returns) in asked
        shown = [example.args for example in problem.visible]
        for example in problem.hidden:
            call = f"{problem.function}({', '.join(map(repr, example.args))})"
            assert example.args in shown or call not in asked
        assert problem.reference not in asked


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("difficulty: easy", "difficulty: simple", r":2: difficulty: expected easy, medium, hard, found 'simple'"),
        ("difficulty: easy", "dificulty: easy", r":2: dificulty: unknown field \(did you mean 'difficulty'\?\)"),
        ("  difficulty: easy\n", "", ":1: difficulty: missing"),
        ("id: double", "id: 3", ":1: id: expected text, found 3"),
        ("Double a number.", "' '", ":3: statement: is empty"),
        ("signature: double(n)", "signature: double n", ":4: signature: expected name"),
        ("signature: double(n)", "signature: double(n=1)", ":4: signature: expected plain parameters without defaults"),
        ("signature: double(n)", "signature: double(n, m)", r":6: args: expected a list of 2, as in the signature"),
        ("args: [1], returns: 2", "args: 1, returns: 2", ":6: args: expected a list, found 1"),
        ("args: [1], returns: 2", "args: [1]", ":5: visible: test 1: expected 'args' and 'returns' and nothing else"),
        ("args: [1], returns: 2", "args: [{1: 2}], returns: 2", ":6: args: the key 1 is no text; put it in quotes"),
        ("args: [1], returns: 2", "args: [1], returns: .nan", ":6: returns: nan is equal to nothing"),
        ("    - {args: [4], returns: 8}", "    []", ":7: hidden: expected a list of tests"),
        ("args: [4], returns: 8", "args: [1], returns: 2", ":7: hidden: every hidden test is visible too"),
        ("def double(n):", "def double(n)", ":9: reference: is no Python"),
        ("def double(n):", "def dubble(n):", ":9: reference: does not define 'double'"),
        ("  signature", " signature", r":4: not YAML"),
    ],
)
def test_a_broken_problem_is_told_with_its_line(old, new, message, tmp_path):
    assert old in GOOD
    (tmp_path / "mine.yaml").write_text(GOOD.replace(old, new, 1))
    with pytest.raises(DataError, match="mine.yaml" + message):
        read_problems(tmp_path / "mine.yaml")


def test_the_same_id_twice(tmp_path):
    (tmp_path / "mine.yaml").write_text(GOOD + GOOD)
    with pytest.raises(DataError, match=r"mine\.yaml:12: id: 'double' is the id of an earlier problem"):
        read_problems(tmp_path)


def test_no_problems(tmp_path):
    with pytest.raises(DataError, match=r"no \.yaml file in this folder"):
        read_problems(tmp_path)
    (tmp_path / "mine.yaml").write_text("")
    with pytest.raises(DataError, match=r"mine\.yaml:1: expected a list of problems, found nothing"):
        read_problems(tmp_path)
    with pytest.raises(ConfigError, match="none is in split 'all' with difficulty"):
        CodeEnvironment([], CodeSettings(split="all"))


def test_values_of_yaml_become_plain_ones(tmp_path):
    new = textwrap.dedent("args: [{a: {b: [1]}}], returns: {c: 2.5}")
    (tmp_path / "mine.yaml").write_text(GOOD.replace("args: [1], returns: 2", new))
    (problem,) = read_problems(tmp_path)
    assert problem.visible[0].args == [{"a": {"b": [1]}}]
    assert type(problem.visible[0].args[0]) is dict
    assert problem.function == "double"
