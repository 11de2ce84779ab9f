"""Judge many answers: what is known is looked up, equal ones are asked once, each verdict is kept as it comes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from spillover.data.rubrics import Rubric
from spillover.judges.cache import VerdictCache, verdict_key
from spillover.judges.choice import joined, parts
from spillover.judges.verdicts import Verdict
from spillover.models.budget import Budget


@dataclass(frozen=True)
class Item:
    """One answer to be judged by one rubric."""

    rubric: Rubric
    question: str
    answer: str

    @property
    def prompt(self) -> str:
        """What the judge is given."""
        return self.rubric.prompt(self.question, self.answer)


class Judge(Protocol):
    """What gives verdicts."""

    name: str

    @property
    def settings(self) -> dict[str, Any]:
        """What verdicts depend on beside the judge's name, the rubric and the texts."""

    def grade(self, prompts: Sequence[tuple[Rubric, str]], heard: Callable[[int, Verdict], None]) -> None:
        """Judge every prompt; ``heard`` gets each number with its verdict once."""


def find_judge(name: str, url: str | None = None, budget: Budget | None = None, connections: int = 32) -> Judge:
    """The judge of a name: a provider of Inspect's for ``openai/…`` and the like, else a model that is loaded here.

    Raises:
        ModelError: There is no such model.
    """
    from spillover.models.endpoint import Endpoint, is_endpoint

    if url is not None or is_endpoint(name):
        from spillover.judges.remote import RemoteJudge

        return RemoteJudge(Endpoint(name, url, connections=connections), budget)
    from spillover.judges.local import LocalJudge

    return LocalJudge(name.removeprefix("spillover/"))


def judge_all(
    items: Sequence[Item],
    judge: Judge,
    cache: VerdictCache,
    progress: Callable[[float, float], None] = lambda done, total: None,
) -> list[Verdict]:
    """A verdict for each item, in their order; a choice is asked in both orders of its options.

    Killed at any moment, the next call goes on from what was heard. Failures are not kept, so that they are asked for
    again.

    Raises:
        ModelError: The judge cannot be asked.
        BudgetSpent: A limit is reached.
    """
    asked = [[Item(part, item.question, item.answer) for part in parts(item.rubric)] for item in items]
    found = iter(_ask([part for each in asked for part in each], judge, cache, progress))
    return [joined(item.rubric, [next(found) for _ in each]) for item, each in zip(items, asked, strict=True)]


def _ask(
    items: Sequence[Item], judge: Judge, cache: VerdictCache, progress: Callable[[float, float], None]
) -> list[Verdict]:
    keys = [_key(judge, item) for item in items]
    known = cache.get(dict.fromkeys(keys))
    todo = {key: item for key, item in zip(keys, items, strict=True) if key not in known}
    order = list(todo)
    total = len(known) + len(todo)
    progress(len(known), total)

    def hear(number: int, verdict: Verdict) -> None:
        key = order[number]
        assert key not in known, "a verdict came twice"
        known[key] = verdict
        if not verdict.failed:
            cache.put(key, verdict)
        progress(len(known), total)

    judge.grade([(item.rubric, item.prompt) for item in todo.values()], hear)
    return [known[key] for key in keys]


def _key(judge: Judge, item: Item) -> str:
    seen = item.question if "{question}" in item.rubric.template else None
    return verdict_key(judge.name, judge.settings, item.rubric.hash, seen, item.answer)
