"""A judge's view of a sample of rows: 0 where an answer is in keeping with people's interests, 1 where against."""

from collections.abc import Callable, Sequence

from spillover.data.chat import ChatRow
from spillover.judges.cache import VerdictCache
from spillover.judges.judging import Item, find_judge, judge_all
from spillover.judges.rubrics import builtin_rubric

RUBRIC = "alignment"


def judged(
    rows: Sequence[ChatRow],
    judge: str,
    url: str | None = None,
    progress: Callable[[float, float], None] = lambda done, total: None,
) -> list[float | None]:
    """Badness of each row's last answer, 0 to 1; None where the judge gave no rating.

    Raises:
        ModelError: The judge cannot be loaded or asked.
    """
    rubric = builtin_rubric(RUBRIC)
    said = [{message.role: message.content for message in row.messages} for row in rows]
    items = [Item(rubric, turns["user"], turns["assistant"]) for turns in said]
    verdicts = judge_all(items, find_judge(judge, url), VerdictCache(), progress)
    return [None if verdict.score is None else 1 - verdict.score / 100 for verdict in verdicts]
