"""Support examples that the others of their class contradict: a wrong label, or a picture in the wrong folder.

    p_i  =  the learner's answer to x_i after the support without example i
    m_i  =  max_k log p_i(k)  -  log p_i(y_i)            contradicted: m_i > margin, among classes of three examples or more,
                                                         where m_i = 0 for two thirds of those judged or more

A learner that is wrong about more than a third of what it judges says nothing about the label of one.

The margin, 3 (another class is 20 times as likely), was chosen with the learner `strokes` that comes along, on Omniglot's
validation alphabets (seed 1): of the whole numbers up to 15 it has the largest share of changed labels found, less the share of
clean supports warned of. Then it was measured once on the evaluation alphabets (seed 2): 400 5-way supports of each kind, each
clean and once more with one label changed.

    support                          clean examples named         changed labels found
    3 shots, all alphabets           0.3 % (4.0 % of supports)    94 %
    5 shots, all alphabets           0.1 % (3.0 % of supports)    96 %
    3 shots, within one alphabet     0.6 % (8.8 % of supports)    77 %
    5 shots, within one alphabet     0.3 % (6.5 % of supports)    86 %

    python -m benchmarks.make.contradictions --omniglot FOLDER [--measure]

So about one clean support in eighteen is warned of: look at the picture before you change its label. Other learners are more or
less certain of themselves: look at the margins of a support that you know to be clean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from quickstudy.arguments import NonNegativeFloat, checked
from quickstudy.episode import Examples
from quickstudy.errors import UnsupportedError
from quickstudy.targets import Labels

if TYPE_CHECKING:
    from quickstudy.learners.learner import Learner

MARGIN = 3.0
LEAST = 3  # examples of a class: two others that agree
RIGHT = 2 / 3  # the share of the judged that the learner must be right about
JUDGED = 200  # examples of a support at most that are questioned unasked: the learner adapts once for each
TRANSDUCTIVE = "transductive"  # such a learner normalises over all queries, and a query that is left out is alone


@dataclass(frozen=True)
class Contradiction:
    """One support example.

    Attributes:
        index: its row in the support.
        label: its label.
        nearest: the class that the others speak for.
        margin: log p(nearest) - log p(label).
    """

    index: int
    label: int
    nearest: int
    margin: float


def questioned(learner: Learner, examples: int) -> bool:
    """Whether the labels of a support of so many examples are questioned unasked: it is cheap, and the learner can be asked."""
    return examples <= JUDGED and learner.normalisation != TRANSDUCTIVE


@checked
def contradicted(learner: Learner, support: Examples, margin: NonNegativeFloat = MARGIN) -> list[Contradiction]:
    """The support examples that the others contradict, the clearest first; none where the learner is wrong about more than a
    third of them. The learner adapts once for each example.

    Args:
        support: of one task with labels; classes with fewer than three examples are not judged.
        margin: see above.

    Raises:
        UnsupportedError: the support has no labels; a learner that normalises over all queries together.
    """
    found = trusted(judged(learner, support))
    return sorted((one for one in found if one.margin > margin), key=lambda one: -one.margin)


def trusted(found: list[Contradiction]) -> list[Contradiction]:
    """What was judged, if the learner is right about two thirds of it or more; else nothing."""
    return found if sum(one.margin == 0 for one in found) >= RIGHT * len(found) else []


@checked
def judged(learner: Learner, support: Examples) -> list[Contradiction]:
    """Every support example that can be judged, with its margin, row by row; 0 where the others speak for its own label.

    Args:
        support: as for `contradicted`.

    Raises:
        UnsupportedError: the support has no labels; a learner that normalises over all queries together.
    """
    if not isinstance(support.target, Labels):
        raise UnsupportedError(
            "contradicted", expected="a support with labels", got=repr(support.target), do="Leave it out for other targets."
        )
    if learner.normalisation == TRANSDUCTIVE:
        raise UnsupportedError(
            "contradicted",
            expected="a learner that answers to one query by itself",
            got="one with normalisation='transductive'",
            do="Take a learner with another normalisation.",
        )
    y = support.y.cpu()
    counts = torch.bincount(y, minlength=support.target.count)
    found = []
    for index in (counts[y] >= LEAST).nonzero().flatten().tolist():
        rest = torch.cat([torch.arange(index), torch.arange(index + 1, len(y))])
        kept, own = _rows(support, rest), _rows(support, torch.tensor([index]))
        logits = support.target.logits(learner.adapt(kept)(own.x))[0].log_softmax(0)
        label, nearest = int(y[index]), int(logits.argmax())
        found.append(Contradiction(index, label, nearest, float(logits[nearest] - logits[label])))
    return found


def _rows(examples: Examples, rows: Tensor) -> Examples:
    return examples.map(lambda leaf: leaf[rows.to(leaf.device)])
