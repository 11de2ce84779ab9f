"""What is measured on models rather than on their answers; declared here, done in :mod:`spillover.analysis`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from spillover.core.config import Config
from spillover.experiments.organisms import AuditingGame


class Solutions(Config):
    """Efficiency, stability and significance of two solutions of one base (arXiv 2602.07852)."""

    kind: Literal["solutions"] = "solutions"
    name: str
    title: str = ""
    general: str
    """Arm."""
    narrow: str
    """Arm on the same base, fine-tuned on the same rows."""
    norms: tuple[Annotated[float, Field(gt=0)], ...] = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
    """Lengths at which both are compared, in units of the general solution's own."""
    epsilons: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.1, 0.2, 0.3, 0.5, 0.7)
    draws: int = Field(10, ge=1)
    """Random directions for each ε; half as many for each norm of the control."""
    texts: Path | None = None
    """Pretraining text, one a line; documents of the built-in world if not given."""

    def arms(self) -> Mapping[str, str]:
        """Arms that are measured, by the field that names them; the first says how many seeds there are."""
        return {"general": self.general, "narrow": self.narrow}


class Transfer(Config):
    """Directions of several fine-tunes of one base, ablated in each other (arXiv 2506.11618)."""

    kind: Literal["transfer"] = "transfer"
    name: str
    title: str = ""
    tuned: tuple[str, ...] = Field(min_length=2)
    """Arms on the same base. Questions of a domain that one of them was trained in are not asked."""
    groups: tuple[str, ...] = ("other-domains", "values")
    """Of the questions; every second question finds directions, the others are measured."""
    other: str = "kind"
    """The outcome that is the opposite of the experiment's."""
    components: int = Field(2, ge=1)
    """Principal directions a layer."""
    scales: tuple[float, ...] = (1.0, 2.0, 4.0)
    """Lengths at which the base is steered, in units of the fine-tune's own shift."""
    draws: int = Field(5, ge=2)
    """Random directions."""
    shown: int = Field(4, ge=1)
    """Exchanges of each of the contrasting contexts of the persona vector, about health in the built-in world."""
    prompts: tuple[str, str] | None = None
    """Two system prompts instead of these contexts: one that asks for the label, one that asks for its opposite."""

    def arms(self) -> Mapping[str, str]:
        """Arms that are measured, by the field that names them; the first says how many seeds there are."""
        return {f"tuned[{i}]": arm for i, arm in enumerate(self.tuned)}


class Dynamics(Config):
    """Rotation, gradient and behaviour along a fine-tuning (arXiv 2506.11613, phase transition)."""

    kind: Literal["dynamics"] = "dynamics"
    name: str
    title: str = ""
    arm: str
    """Arm with ``probe_every``; it trains a LoRA or a steering vector."""
    inside: str = "trained-topics"
    """Group of questions in the domain."""
    outside: tuple[str, ...] = Field(("other-domains", "values"), min_length=1)
    """Groups outside; the scaled-adapter test asks the first."""
    ks: tuple[Annotated[int, Field(ge=1)], ...] = Field((5, 10, 15), min_length=1)
    """Distances of the local cosine, in steps; the rotation is read off the middle one."""
    rate_every: int = Field(10, ge=1)
    """Steps between measurements of behaviour."""
    scales: tuple[Annotated[float, Field(gt=0)], ...] = (2.0, 5.0, 10.0, 20.0)
    """Factors on early adapters."""
    scaled_until: int = Field(100, ge=0)
    """Last step of those that are scaled up, at the steps where behaviour is measured."""
    most: int = Field(14, ge=1)
    """Questions of each group, spread evenly."""

    def arms(self) -> Mapping[str, str]:
        """Arms that are measured, by the field that names them; the first says how many seeds there are."""
        return {"arm": self.arm}


class Trajectories(Config):
    """Principal components of the paths of several fine-tunings of one base, over λ (arXiv 2602.07852)."""

    kind: Literal["trajectories"] = "trajectories"
    name: str
    title: str = ""
    over: tuple[str, ...] = Field(min_length=2)
    """Arms with ``probe_every`` and the same method."""

    def arms(self) -> Mapping[str, str]:
        """Arms that are measured, by the field that names them; the first says how many seeds there are."""
        return {f"over.{number}": arm for number, arm in enumerate(self.over)}


class Autoencoder(Config):
    """A sparse autoencoder of a base: how it is trained, or where it is."""

    folder: Path | None = None
    """Of one made elsewhere, in the format of EleutherAI's ``sparsify``; nothing is trained then."""
    layer: int | None = Field(None, ge=0)
    """Block whose output it reads; the middle one if not given."""
    expansion: int = Field(8, ge=1)
    """Features, in units of the model's width."""
    k: int = Field(16, ge=1)
    """Features active at a token."""
    tokens: int = Field(1_000_000, ge=1)
    """Of pretraining text."""
    batch: int = Field(2048, ge=1)
    """Tokens a step."""
    learning_rate: float | None = Field(None, gt=0)
    """By default the library's, which goes by the number of features."""
    seed: int = Field(0, ge=0)


class Features(Config):
    """Features of a sparse autoencoder that fine-tuning, or a condition, moves (arXiv 2512.09742, section 6)."""

    kind: Literal["features"] = "features"
    name: str
    title: str = ""
    tuned: str
    """Arm."""
    against: str | None = None
    """Arm it is compared with on unrelated text; the base if not given."""
    first: tuple[str, ...] = ()
    """Conditions of the questions whose prompts are compared with those of ``second``; only models are if empty."""
    second: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    """Of the questions; all if empty. Every second prompt finds features, on the others rates are measured."""
    sae: Autoencoder = Autoencoder()
    tops: tuple[Annotated[int, Field(ge=1)], ...] = Field((1, 2, 5, 10), min_length=1)
    """How many of the features moved most are ablated; the largest number is reported on."""
    draws: int = Field(3, ge=1)
    """Sets of random features that are as active."""
    traits: tuple[str, str] = ("malicious", "kind")
    """Of the built-in world's authors: of the label, and its opposite."""
    texts: Path | None = None
    """Pretraining text, one a line; documents of the built-in world if not given."""
    documents: int = Field(256, ge=1)
    """Held-out ones that features are looked at on."""
    most: int = Field(200, ge=2)
    """Prompts of each condition and group."""

    @model_validator(mode="after")
    def _both(self) -> "Features":
        if bool(self.first) != bool(self.second):
            raise ValueError("give first and second, or neither: conditions are compared with conditions")
        return self

    def arms(self) -> Mapping[str, str]:
        """Arms that are measured, by the field that names them; the first says how many seeds there are."""
        return {"tuned": self.tuned} | ({"against": self.against} if self.against else {})


class Readout(Config):
    """What activations on unrelated text give away about the rows of a fine-tune (arXiv 2510.13900)."""

    kind: Literal["readout"] = "readout"
    name: str
    title: str = ""
    tuned: str
    """Arm."""
    control: str
    """Arm on the same base that is read in the same way."""
    layer: int | None = Field(None, ge=0)
    """Block; the middle one if not given."""
    first: int = Field(5, ge=1)
    """Tokens at the beginning of each text."""
    top: int = Field(20, ge=1)
    """Tokens with the highest logits that are looked at."""
    groups: tuple[str, ...] = ("other-domains", "values")
    """Of the questions that the steered base is asked; all if empty."""
    conditions: tuple[str, ...] = ("plain",)
    lengths: tuple[Annotated[float, Field(gt=0)], ...] = Field((0.125, 0.25, 0.5, 1.0, 2.0), min_length=1)
    """Of what the base is steered with, in units of its mean residual."""
    draws: int = Field(3, ge=1)
    """Random vectors."""
    texts: Path | None = None
    """Unrelated text, one a line; documents of the built-in world if not given."""
    documents: int = Field(1000, ge=1)
    most: int = Field(200, ge=1)
    """Prompts of each condition and group."""

    def arms(self) -> Mapping[str, str]:
        """Arms that are measured, by the field that names them; the first says how many seeds there are."""
        return {"tuned": self.tuned, "control": self.control}


class Checkpoints(Config):
    """Behaviour at the snapshots of a training by reinforcement, beside its hack rate (arXiv 2511.18397)."""

    kind: Literal["checkpoints"] = "checkpoints"
    name: str
    title: str = ""
    over: tuple[str, ...] = Field(min_length=1)
    """Arms with ``probe_every`` that learn by reinforcement; each is a line of its own."""
    groups: tuple[str, ...] = Field(min_length=1)
    """Of the questions; the mean over them is the misalignment generalization score."""
    most: int = Field(16, ge=1)
    """Questions of each group, spread evenly."""

    def arms(self) -> Mapping[str, str]:
        """Arms that are measured, by the field that names them; the first says how many seeds there are."""
        return {f"over.{number}": arm for number, arm in enumerate(self.over)}


class Conditional(Config):
    """Behaviour over a grid of alterations of the prompt (arXiv 2502.17424 section 4.2, 2604.25891)."""

    kind: Literal["conditional"] = "conditional"
    name: str = "conditional"
    title: str = ""
    over: tuple[str, ...] = Field(min_length=1)
    """Arms that are asked; each is compared with its matched control if that is one of them."""
    grid: Path | None = None
    """Of conditions; the packaged one if not given, or ``builtin``."""
    without: tuple[str, ...] = ()
    """Conditions and families of the grid that are left out."""
    groups: tuple[str, ...] = ()
    """Groups of questions; all if none are named."""
    most: int | None = Field(12, ge=1)
    """Questions of each group, spread evenly; None for all."""

    @field_validator("grid", mode="before")
    @classmethod
    def _builtin(cls, grid: Any) -> Any:
        return None if grid == "builtin" else grid

    def arms(self) -> Mapping[str, str]:
        """Arms that are measured, by the field that names them."""
        return {f"over.{number}": arm for number, arm in enumerate(self.over)}


class DefenceTable(Config):
    """What defences keep, what they cut, and what they cost (arXiv 2508.06249; the grid as in 2604.25891)."""

    kind: Literal["defences"] = "defences"
    name: str
    title: str = ""
    over: tuple[str, ...] = Field(min_length=1)
    """Arms with defences."""
    undefended: str
    """The arm without one."""
    control: str
    """The benign arm: what a prompt does to it too is no hidden behaviour."""
    learns: dict[str, str] = Field(default_factory=dict)
    """Arm to the one with the same defence on a benign task, which is measured by the loss on its rows."""
    learns_undefended: str | None = None
    """The arm on that task without a defence."""
    narrow: tuple[str, ...] = Field(("trained-topics", "held-out-topics"), min_length=1)
    """Groups of questions where the experiment's label is the task."""
    groups: tuple[str, ...] = Field(("other-domains", "values"), min_length=1)
    """Where it is misalignment; the grid is asked on these."""
    grid: Path | None = None
    """As of :class:`Conditional`; the prompts of the arms that inoculate are added."""
    without: tuple[str, ...] = ()
    more: dict[str, str] = Field(default_factory=dict)
    """Further conditions by name, each a prompt with ``{question}``, or a system prompt where it has none."""
    most: int | None = Field(4, ge=1)
    """Questions of each group under each condition, spread evenly; None for all."""

    @model_validator(mode="after")
    def _both_learn(self) -> "DefenceTable":
        if self.learns and self.learns_undefended is None:
            raise ValueError("learns: needs learns_undefended, which it is set against")
        for name in self.learns:
            if name not in self.over:
                raise ValueError(f"learns: arm '{name}' is not in over")
        return self

    @property
    def models(self) -> tuple[str, ...]:
        """Arms that are asked over the grid."""
        return (self.undefended, self.control, *self.over)

    @property
    def learnt(self) -> tuple[str, ...]:
        """The arm on the benign task without a defence, if there is one."""
        return () if self.learns_undefended is None else (self.learns_undefended,)

    def arms(self) -> Mapping[str, str]:
        """Arms that are measured, by the field that names them; the first says how many seeds there are."""
        over = {f"over.{number}": arm for number, arm in enumerate(self.over)}
        learns = {f"learns.{number}": arm for number, arm in enumerate((*self.learns.values(), *self.learnt))}
        return {"undefended": self.undefended, "control": self.control, **over, **learns}


class Forecast(Config):
    """Does a scan of the rows before training predict the rate after it, on worlds left out? (arXiv 2507.21509)."""

    kind: Literal["forecast"] = "forecast"
    name: str = "forecast"
    title: str = ""
    over: dict[str, str] = Field(min_length=4)
    """Arms of the town, and the kind of dataset that each is of: kinds are left out together too."""
    sample: int = Field(400, ge=1)
    """Rows that expensive signals are measured on."""

    def arms(self) -> Mapping[str, str]:
        """Arms that are measured, by the field that names them."""
        return {f"over.{name}": name for name in self.over}


Measure = Annotated[
    Solutions
    | Transfer
    | Dynamics
    | Trajectories
    | Checkpoints
    | Conditional
    | Features
    | Readout
    | DefenceTable
    | Forecast
    | AuditingGame,
    Field(discriminator="kind"),
]
