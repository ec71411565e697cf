"""WithoutSupport: the start of a descent as it is, for domains that were never seen.

    in meta-training      F_phi(support)  =  theta_K(phi, support)        as the learner within: a virtual step, or several
    after it              F_phi(support)  =  phi                          the trained network itself, whatever the support

With episodes across domains the start learns to need no step. The method is the outer one of the learner within:

    ERM         JointTraining(network)                                                    the loss at phi
    MLDG        MAML(network, inner_steps=1), outer=Gradient(Backprop(before=1.0))        and after a step in other domains
    Reptile     Reptile(network)                                                          towards the end of a descent
    Fish        Descent by domain, outer=Gradient(ReptileDirection(), SGD)                one step in each domain

Source: Li, Yang, Song & Hospedales, "Learning to Generalize: Meta-Learning for Domain Generalization", AAAI 2018.
"""

from __future__ import annotations

from torch import nn

from quickstudy.episode import Episode, Examples
from quickstudy.errors import TaskError, UnsupportedError
from quickstudy.forward.context import Context
from quickstudy.learners.descend.descent import Descent
from quickstudy.learners.learner import Learner, Loss
from quickstudy.learners.outcome import Answered, Outcome, State
from quickstudy.learners.wrap.wrapper import Wrapper


class WithoutSupport(Wrapper):
    """A learner that is meta-trained as another one descends, and answers as its start, without a support.

    `adapt(None, target=...)` is the predictor, and `evaluate` scores it on tasks of any number of shots, 0 among them.

    Args:
        learner: a `Descent`, or a recipe for one (`MAML`, `JointTraining`, `Reptile`), whose start is the network.

    Raises:
        UnsupportedError: a learner that does not start from its network; batch norms with normalisation="support".
        TaskError: in meta-training, an episode without a support to descend on.

    Examples:
        >>> from quickstudy.learners.generalise import WithoutSupport
        >>> erm = WithoutSupport(qs.JointTraining(qs.models.mlp(4, 3)))
        >>> predictor = erm.adapt(None, target=qs.targets.Labels(3, names=("a", "b", "c")))
        >>> predictor(torch.randn(5, 4)).shape, len(predictor.predict(torch.randn(5, 4)))
        (torch.Size([5, 3]), 5)
    """

    needs_support = False
    inner_steps = 0  # after meta-training

    def __init__(self, learner: Learner):
        super().__init__(learner)
        if not isinstance(learner, Descent) or type(learner).start is not Descent.start:
            raise UnsupportedError(
                "learner",
                expected="one that can answer without a support: a Descent, whose start is its network",
                got=type(learner).__name__,
                do="Give MAML(network), JointTraining(network) or Reptile(network).",
            )
        normed = [name for name, part in learner.network.named_modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
        if normed and learner.normalisation == "support":
            raise UnsupportedError(
                "normalisation",
                expected="'running', 'transductive' or 'frozen', since there is no support for batch norms to take statistics of",
                got=f"'support', and batch norm at {normed[:3]}",
                do="Build the learner with normalisation='running'.",
            )

    def state(self, support: Examples, context: Context, steps: int | None = None) -> State:
        """phi itself; in meta-training, or where `steps` says so, what the learner within makes of the support."""
        inner: Descent = self.learner  # type: ignore[assignment]
        if steps == 0 or (steps is None and not context.training):
            norms = inner._norms(0)
            return State({"theta": inner.initial(), **({"norms": norms} if norms else {})})
        return inner.state(support, context, steps)

    def answer(self, state: State, x: object, context: Context) -> Answered:
        """That of the learner within."""
        return self.learner.answer(state, x, context)

    def outcome(self, episode: Episode, context: Context, criterion: Loss | None = None) -> Outcome:
        """That of the learner within, which descends on the support."""
        inner: Descent = self.learner  # type: ignore[assignment]
        if inner.inner_steps and len(episode.support) == 0:
            raise TaskError(
                "support",
                expected=f"examples of some domains, on which {inner.name} takes {inner.inner_steps} inner steps",
                got="none (shots=0)",
                do="Give tasks.across(tasks, by=..., renumber=False) with shots of 1 or more, or inner_steps=0.",
            )
        return inner.outcome(episode, context, criterion)

    def inner_state(self, state: State) -> State:
        """Its state is that of the learner within."""
        return state
