"""FeatureCritic: a loss of features, learned so that lowering it on some domains serves others.

    theta_old  =  theta - a d/dtheta CE(S)                         S some domains, V the others                   (1)
    theta_new  =  theta_old - a d/dtheta h(f_theta(S); omega)       both gradients at theta                        (2)
    theta, head  <-  descent on  CE(S) + h(f_theta(S); omega)       omega as a constant                            (3)
    omega        <-  descent on  tanh( CE(V; theta_new) - CE(V; theta_old) )      theta as a constant              (4)

f_theta are the features, CE the criterion of the head on them, h(z) = mean softplus(critic(z)).

Source: Li, Yang, Zhou & Hospedales, "Feature-Critic Networks for Heterogeneous Domain Generalization", ICML 2019, eq. 4-8 and
algorithm 1, with the critic that sees one example's features at a time. Departure: one optimizer for theta and omega.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.arguments import PositiveFloat
from quickstudy.episode import Episode, Examples
from quickstudy.errors import TaskError
from quickstudy.forward.call import Parameters, apply, call, plain
from quickstudy.forward.context import Context, Normalisation, source
from quickstudy.forward.derivatives import gradient_of, stop
from quickstudy.forward.mode import Forward
from quickstudy.learners.generalise.domains import parameters
from quickstudy.learners.learner import Learner, Loss, recorded
from quickstudy.learners.outcome import Outcome, averages


class FeatureCritic(Learner):
    """Features, a head, and a critic of features that is trained by what it does for other domains.

    It is meta-trained on `tasks.across(..., renumber=False)` and answers without a support.

    Args:
        embed: (examples, *feature) -> (examples, features).
        head: (examples, features) -> (examples, ways).
        critic: (examples, features) -> (examples, 1), a part of phi that answers no question after meta-training.
        inner_lr: a.
        normalisation: "running", "transductive" or "frozen": see `Learner`.

    Raises:
        TaskError: in meta-training, an episode without a support.

    Examples:
        >>> from quickstudy.learners.generalise import FeatureCritic
        >>> learner = FeatureCritic(qs.models.mlp(2, 8), torch.nn.Linear(8, 3), critic=qs.models.mlp(8, 1), inner_lr=0.1)
        >>> x, y, year = torch.randn(120, 2), torch.arange(120) % 3, [str(1990 + row // 40) for row in range(120)]
        >>> tasks = qs.tasks.LabelledTasks(x, y, ways=3, shots=2, queries=4, columns={"year": year})
        >>> tasks = qs.tasks.across(tasks, by="year", renumber=False)
        >>> run = qs.meta_train(learner, tasks, steps=3, tasks_per_step=1, progress=False)
        >>> learner.adapt(None, target=qs.targets.Labels(3))(torch.randn(5, 2)).shape
        torch.Size([5, 3])
    """

    label_equivariant = False  # only after permuting the rows of the head as well
    exact_gradient = False  # each part has the derivative of its own update
    needs_support = False

    def __init__(
        self,
        embed: nn.Module,
        head: nn.Module,
        *,
        critic: nn.Module,
        inner_lr: PositiveFloat = 0.1,
        normalisation: Normalisation = "running",
    ):
        super().__init__(normalisation=normalisation)
        self.embed, self.head, self.critic = plain("embed", embed), plain("head", head), plain("critic", critic)
        self.inner_lr = inner_lr

    def learn(self, support: Examples) -> Any:
        """Nothing: the network is trained already."""
        return {}

    def predict(self, values: Any, x: Any) -> Tensor:
        """The head on the features."""
        return apply(self.head, apply(self.embed, x))

    def outcome(self, episode: Episode, context: Context, criterion: Loss | None = None) -> Outcome:
        """(3) and (4) as one scalar: each part of it has the derivative of its own update, and the others are constants."""
        support, query = episode.support, episode.query
        if len(support) == 0:
            raise TaskError(
                "support",
                expected="examples of some domains, whose features the critic judges",
                got="none (shots=0)",
                do="Give tasks.across(tasks, by=..., renumber=False) with shots of 1 or more.",
            )
        criterion = self.criterion_of(support, criterion)
        theta, head, omega = (parameters(part) for part in (self.embed, self.head, self.critic))
        passes = Forward(context, source(self.normalisation, "query", context.training), -1)
        with passes:
            z = apply(self.embed, support.x)
            fitted = criterion(apply(self.head, z), support.y)
        critic = self._judged(z, stop(omega), context)  # (3)
        still, fixed = stop(theta), stop(head)

        def fit(theta: Parameters, examples: Examples) -> Tensor:
            """CE at theta, with the head as it is."""
            z = call(self.embed, theta, examples.x, self._inner(context))
            return criterion(call(self.head, fixed, z, self._inner(context)), examples.y)

        def judged(theta: Parameters) -> Tensor:
            """h at theta, which the critic shapes."""
            return self._judged(call(self.embed, theta, support.x, self._inner(context)), omega, context)

        g, h = (gradient_of(lambda theta: (part(theta), ()), still)[0] for part in (partial(fit, examples=support), judged))  # noqa: B023
        old = {name: still[name] - self.inner_lr * g[name].detach() for name in still}  # (1)
        new = {name: old[name] - self.inner_lr * h[name] for name in still}  # (2)
        gain = torch.tanh(fit(new, query) - fit(old, query).detach())  # (4)
        statistics = averages([recorded(passes)]) if self.averages(context) else {}
        log = {"fitted": fitted.detach(), "critic": critic.detach(), "gain": gain.detach()}
        return Outcome(fitted + critic + gain, log, statistics, ())

    def _judged(self, z: Tensor, omega: Parameters, context: Context) -> Tensor:
        """h"""
        return F.softplus(call(self.critic, omega, z, self._inner(context))).mean()

    def _inner(self, context: Context) -> Forward:
        return Forward(context, source(self.normalisation, "inner", context.training), 0)
