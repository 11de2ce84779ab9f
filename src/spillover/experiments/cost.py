"""What an LLM judge would be asked in a run, before anything is spent."""

from dataclasses import dataclass

from spillover.evals.tasks import QUESTION
from spillover.experiments.stages import Planner
from spillover.judges.choice import parts
from spillover.judges.remote import TEXT_TOKENS
from spillover.models.budget import estimated_tokens
from spillover.runs.store import Store


@dataclass(frozen=True)
class Judging:
    """Upper bounds: every answer different, as long as its question allows, and none judged before."""

    verdicts: int
    prompt_tokens: int
    """About."""

    @property
    def answer_tokens(self) -> int:
        """Of the judge."""
        return TEXT_TOKENS * self.verdicts


def judging(planner: Planner, store: Store) -> Judging:
    """Of the judge stages that are not made yet."""
    verdicts = tokens = 0
    for cell in planner.cells:
        if cell.stage.kind != "judge" or store.ready(cell.stage.key):
            continue
        asked = cell.stage.inputs["answers"].config
        for values in asked["questions"]:
            question = QUESTION.validate_python(values)
            answers = (asked["samples"] or question.samples) * len(question.paraphrases)
            longest = max(estimated_tokens(text) for text in question.paraphrases) + question.max_tokens
            for rubric in question.rubrics.values():
                each = answers * len(parts(rubric))
                verdicts += each
                tokens += each * (estimated_tokens(rubric.template) + longest)
    return Judging(verdicts, tokens)
