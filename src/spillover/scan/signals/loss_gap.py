"""Loss gap: how much likelier a row's answers are under a misaligned reference than under an aligned one.

After the score of arXiv 2508.06249, turned so that more is worse; and the row's surprise under the base itself.
"""

from torch import Tensor

from spillover.scan.reader import Read


def gap(misaligned: Read, aligned: Read) -> Tensor:
    """Loss under the aligned reference less that under the misaligned one, nats per response token. Rows."""
    return aligned.loss - misaligned.loss
