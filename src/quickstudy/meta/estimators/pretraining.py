"""Estimators of the baselines: what is lowered where no task is learned from a support set.

    Joint         L( f_phi(query) )                           every task at phi itself, before any inner step
    Supervised    CE( h(f(x)), y )                            all meta-training classes at once
    Contrastive   NT-Xent( h(f(x')), h(f(x'')) )              two looks x', x'' at an image, without labels

f is the embedding that a `Pretrained` learner has, h the pretext head that stands on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from quickstudy.domains.images.views import Augmentation
from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError, ShapeError, UnsupportedError
from quickstudy.forward.context import Context
from quickstudy.forward.mode import Statistics
from quickstudy.learners.descend.descent import Descent
from quickstudy.learners.functional import unit
from quickstudy.learners.learner import Learner, Loss, recorded
from quickstudy.learners.outcome import Outcome, averages
from quickstudy.learners.transfer.pooled import minibatch
from quickstudy.learners.transfer.pretext import CosineClassifier, Pretext, Projection
from quickstudy.learners.transfer.pretrained import Pretrained
from quickstudy.meta.estimators.estimator import Estimator

if TYPE_CHECKING:
    from quickstudy.tasks.distribution.labelled import TaskDistribution


@dataclass(frozen=True)
class Joint(Estimator):
    """The query loss at phi itself, without an inner step: the limit of MAML as the inner rate goes to 0.

    Source: Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning", ICML 2017, section 5.1 ("pretraining on all of the tasks").
    """

    def objective(self, learner: Learner, episode: Episode, criterion: Loss | None, context: Context) -> Outcome:
        prediction, seen = learner.answer(learner.state(episode.support, context, 0), episode.query.x, context)
        statistics = averages([seen]) if learner.averages(context) else {}
        return Outcome(learner.criterion_of(episode.query, criterion)(prediction, episode.query.y), {}, statistics, ())

    def check(self, learner: Learner) -> None:
        if not isinstance(learner.innermost, Descent):
            raise UnsupportedError(
                "estimator",
                expected=f"one that serves {type(learner).__name__}, which takes no inner steps to leave out",
                got="Joint()",
                do="Use Backprop(), or JointTraining(network).",
            )


@dataclass(frozen=True)
class Supervised(Estimator):
    """Cross-entropy over all meta-training classes at once, on one minibatch of `batch_size` examples a step.

    The number of tasks in a step does not matter here.
    """

    batch_size: int = 128

    def __post_init__(self) -> None:
        _check_batch(self.batch_size)

    def draw(self, tasks: TaskDistribution, n: int, generator: torch.Generator) -> Examples:
        """A minibatch as one task, with global labels: x (1, examples, *feature), y (1, examples)."""
        return minibatch(tasks, self.batch_size, generator).map(lambda leaf: leaf[None])

    def objective(self, learner: Learner, batch: Examples, criterion: Loss | None, context: Context) -> Outcome:
        assert isinstance(learner, Pretrained)  # see check
        output, statistics = _pretext(learner, batch.x, context)
        return Outcome(learner.criterion_of(batch, criterion)(output, batch.y), {}, statistics, ())

    def check(self, learner: Learner) -> None:
        _check_pretext(self, learner, CosineClassifier)


@dataclass(frozen=True)
class Contrastive(Estimator):
    """SimCLR: the embeddings of two looks at an image agree, those of different images do not. No label is read.

    Args:
        temperature: tau of the loss.
        batch_size: N images a step, 2N views.
        augmentation: what makes a view.

    Source: Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020, eq. 1, algorithm 1.
    """

    temperature: float = 0.2
    batch_size: int = 128
    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        _check_batch(self.batch_size)

    def draw(self, tasks: TaskDistribution, n: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Two views of a minibatch as one task: each (1, examples, *feature)."""
        x = minibatch(tasks, self.batch_size, generator).x
        if not isinstance(x, Tensor):
            raise ShapeError(
                "tasks",
                expected="examples whose x is one tensor, which Augmentation can change",
                got=f"a {type(x).__name__}",
                do="Use PretrainFineTune, which needs no augmentation.",
            )
        return {name: self.augmentation(x, generator)[None] for name in ("first", "second")}

    def objective(self, learner: Learner, views: dict[str, Tensor], criterion: Loss | None, context: Context) -> Outcome:
        assert isinstance(learner, Pretrained)  # see check
        output, statistics = _pretext(learner, torch.cat([views["first"], views["second"]]), context)
        first, second = output.chunk(2)
        return Outcome(nt_xent(first, second, self.temperature), {}, statistics, ())

    def check(self, learner: Learner) -> None:
        _check_pretext(self, learner, Projection)


def _pretext(learner: Pretrained, x: Any, context: Context) -> tuple[Tensor, dict[str, Statistics]]:
    """h(f(x)), and what the norms of f recorded for their averages."""
    scope = learner.scope(context)
    with scope:
        output = learner.pretext_output(x)
    return output, averages([recorded(scope)]) if learner.averages(context) else {}


def nt_xent(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """The normalised temperature-scaled cross-entropy of two views a, b (examples, features) of the same examples.

        l(i, j)  =  - log  exp( cos(z_i, z_j) / tau )  /  sum_{k != i} exp( cos(z_i, z_k) / tau ),      z = [a; b]
        mean of l(i, j) over the 2N ordered pairs (i, j) of views of one example

    Source: Chen et al. 2020, eq. 1.
    """
    z = unit(torch.cat([a, b]))
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    similarity = (z @ z.T / temperature).masked_fill(itself, -torch.inf)
    partner = torch.arange(len(z), device=z.device).roll(len(a))
    return F.cross_entropy(similarity, partner)


def _check_batch(size: int) -> None:
    if size < 2:
        raise ArgumentError("batch_size", expected="2 or more", got=str(size), do="128 is the default.")


def _check_pretext(estimator: Estimator, learner: Learner, head: type[Pretext]) -> None:
    name = type(estimator).__name__
    if not isinstance(learner, Pretrained) or not isinstance(learner.pretext, head):
        raise UnsupportedError(
            "estimator",
            expected=f"one that serves {type(learner).__name__}: {name}() needs one with the pretext head {head.__name__}()",
            got=f"{name}()",
            do="Use PretrainFineTune or LinearProbe with Supervised(), ContrastivePretrain with Contrastive().",
        )
    if not learner.pretext.built:
        raise UnsupportedError(
            "learner",
            expected="a learner whose pretext head is built for the classes of the tasks",
            got="one without",
            do="Call learner.prepare(tasks.train) first, as meta_train does.",
        )
