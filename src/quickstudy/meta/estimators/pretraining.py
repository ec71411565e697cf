"""Estimators of the baselines: losses that do not adapt to a support set.

    Joint         L( f_phi(query) )                           every task at phi itself, before any inner step
    Supervised    CE( h(f(x)), y )                            all meta-training classes at once
    Contrastive   NT-Xent( h(f(x')), h(f(x'')) )              two views x', x'' of an image, without labels

f is the embedding of a `Pretrained` learner, h its pretext head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from quickstudy.arguments import checked
from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.forward.context import Context
from quickstudy.forward.mode import Statistics
from quickstudy.learners.descend.descent import Descent
from quickstudy.learners.learner import Learner, Loss, recorded
from quickstudy.learners.outcome import Outcome, averages
from quickstudy.learners.transfer.pooled import minibatch
from quickstudy.learners.transfer.pretext import CosineClassifier, Pretext
from quickstudy.learners.transfer.pretrained import Pretrained
from quickstudy.meta.estimator import Estimator

if TYPE_CHECKING:
    from quickstudy.tasks.distribution.interface import TaskDistribution


@checked
@dataclass(frozen=True)
class Joint(Estimator):
    """The query loss at phi itself, without an inner step: the limit of MAML as the inner rate goes to 0.

    Source: Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning", ICML 2017, section 5.1 ("pretraining on all of the tasks").

    Examples:
        >>> from quickstudy.meta.estimators import Joint
        >>> batch, network = qs.tasks.Sinusoid().train.sample(2), qs.models.mlp(1, 1)
        >>> joint, _ = qs.meta_gradient(qs.MAML(network, inner_steps=5), batch, estimator=Joint())
        >>> unadapted, _ = qs.meta_gradient(qs.MAML(network, inner_steps=0), batch)
        >>> torch.allclose(joint, unadapted)
        True
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


@checked
@dataclass(frozen=True)
class Supervised(Estimator):
    """Cross-entropy over all meta-training classes at once, on one minibatch per step.

    It ignores the number of tasks in a step.

    Args:
        batch_size: examples of a minibatch.

    Raises:
        ArgumentError: a batch_size below 2.

    Examples:
        >>> from quickstudy.meta.estimators import Supervised
        >>> tasks = qs.tasks.LabelledTasks(torch.randn(120, 4), torch.arange(120) % 6, ways=3)
        >>> batch = Supervised(batch_size=16).draw(tasks, 1, torch.Generator().manual_seed(0))
        >>> batch.x.shape, batch.ways  # all six classes, though an episode has three
        (torch.Size([1, 16, 4]), 6)
        >>> learner = qs.PretrainFineTune(qs.models.mlp(4, 8), outer=qs.Gradient(Supervised(batch_size=16)))
        >>> len(qs.meta_train(learner, tasks, steps=2, tasks_per_step=1, progress=False).history)
        2
    """

    batch_size: int = 128

    def __post_init__(self) -> None:
        check_batch(self.batch_size)

    def draw(self, tasks: TaskDistribution, n: int, generator: torch.Generator) -> Examples:
        """A minibatch as one task, with global labels: x (1, examples, *feature), y (1, examples)."""
        return minibatch(tasks, self.batch_size, generator).map(lambda leaf: leaf[None])

    def objective(self, learner: Learner, batch: Examples, criterion: Loss | None, context: Context) -> Outcome:
        assert isinstance(learner, Pretrained)  # see check
        output, statistics = pretext(learner, batch.x, context)
        return Outcome(learner.criterion_of(batch, criterion)(output, batch.y), {}, statistics, ())

    def check(self, learner: Learner) -> None:
        check_pretext(self, learner, CosineClassifier)


def pretext(learner: Pretrained, x: Any, context: Context) -> tuple[Tensor, dict[str, Statistics]]:
    """h(f(x)), and the batch statistics that the norms of f recorded."""
    scope = learner.scope(context)
    with scope:
        output = learner.pretext_output(x)
    return output, averages([recorded(scope)]) if learner.averages(context) else {}


def check_batch(size: int) -> None:
    """Raise ArgumentError for a minibatch of fewer than two examples."""
    if size < 2:
        raise ArgumentError("batch_size", expected="2 or more", got=str(size), do="128 is the default.")


def check_pretext(estimator: Estimator, learner: Learner, head: type[Pretext]) -> None:
    """Raise UnsupportedError unless the learner has this pretext head, built for the classes of its tasks."""
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
