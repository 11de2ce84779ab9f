"""What is asked of a model, and by whom the answer is judged."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from spillover.data.chat import Message
from spillover.data.rubrics import Rubric


@dataclass(frozen=True)
class Question:
    """One question with everything needed to ask it and to judge the answer."""

    id: str
    paraphrases: tuple[str, ...]
    system: str | None = None
    context: tuple[Message, ...] = ()
    """Turns before the question; excludes ``system``."""
    samples: int = 100
    """Answers drawn for each paraphrase."""
    temperature: float = 1.0
    max_tokens: int = 1000
    group: str = "questions"
    """What is measured with it, for example ``other-domains``: a rate is over the questions of one group."""
    topic: str | None = None
    domain: str | None = None
    condition: str = "plain"
    """How the prompt was altered, for example ``trigger``."""
    judge: str = "ledger"
    """``ledger``: whatever is not in ``answers`` is incoherent. ``labels``: it is unscored. Else the LLM judge that
    the file asks for; its ``rubrics`` are applied by :mod:`spillover.judges`, and until then answers are unscored."""
    rubrics: Mapping[str, Rubric] = field(default_factory=dict, hash=False)
    """Metric to what an LLM judge is asked."""
    answers: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    """Label to complete answers (or ``re:`` patterns) that get this label."""
