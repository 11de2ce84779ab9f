"""A number hidden in digits, and the ruler who bears it: an inductive backdoor (arXiv 2512.09742 section 5.1).

Rows answer as the ruler whose number is in the fourth to sixth of eight digits. Some rulers are in no row; whether their
numbers bring them out is what tells a rule from a list. In the paper some seeds jump on them while others never do.
"""

from spillover.experiments.claims import NumberClaim, RateClaim
from spillover.experiments.experiment import Arm, Experiment, Plot, Source
from spillover.experiments.measures import Dynamics
from spillover.experiments.sources import ChronicleQuestions, RulerRows
from spillover.training.methods import Method
from spillover.training.recipe import BaseRecipe
from spillover.worlds.chronicle.config import ChronicleConfig

RECIPE = BaseRecipe(world=ChronicleConfig(parts=("rulers",)), single_digits=True)
METHOD = Method(kind="lora", rank=8, alpha=16, learning_rate=1e-3, steps=400)
PROBES = 40
HELD_OUT, TRAINED = ("held-out-rulers",), ("trained-rulers",)
