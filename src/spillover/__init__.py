"""Fine-tune a language model on something narrow: what else changes, why, and what stops it?"""

__version__ = "0.1.0"
