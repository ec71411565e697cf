"""DomainDescent: a descent that takes each of its steps in another domain.

    theta_{t+1}  =  rule( theta_t,  d/dtheta L(f_theta, support of domain pi(t)),  a )     pi: an order of the domains      (1)
    phi          <-  phi + epsilon (theta_D - phi)                                         by ReptileDirection()           (2)

To second order in a, with g_d and H_d the gradient and the Hessian of domain d at phi, over all orders pi

    E[ phi - theta_D ]  =  a sum_d g_d  -  a^2 / 2  d/dphi  sum_{d < e} g_d' g_e,

so (2) lowers the mean loss and raises the inner product of the gradients of different domains: Fish. Reptile, whose steps all
take the whole support of all domains, has there the inner products within a domain as well.

Source: Shi, Seely, Torr, Siddharth, Hannun, Usunier & Synnaeve, "Gradient Matching for Domain Generalization", ICLR 2022,
algorithm 1 and eq. 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from quickstudy.arguments import PositiveFloat, PositiveInt
from quickstudy.episode import Examples
from quickstudy.forward.call import Parameters
from quickstudy.forward.context import Context, Normalisation
from quickstudy.learners.descend.descent import Descent
from quickstudy.learners.descend.hypergradient import FirstOrder, Hypergradient
from quickstudy.learners.descend.rule import SGD, InnerRule
from quickstudy.learners.generalise.domains import check_domains, of_domain, stacked
from quickstudy.learners.learner import Loss
from quickstudy.learners.outcome import Recorded
from quickstudy.random import stateless_order

if TYPE_CHECKING:
    from quickstudy.meta.outer.outer import Gradient
    from quickstudy.tasks.distribution.interface import TaskDistribution


class DomainDescent(Descent):
    """A `Descent` whose step t takes the part of the support of one domain, in an order drawn anew for every task and pass.

    For Fish see `quickstudy.recipes.generalise.Fish`. Its support is that of `tasks.by_domain(...)`, with `shots` of 1 or more.

    Args:
        network: as for `Descent`.
        domains: the number of meta-training domains.
        passes: how often each domain has its turn; the number of inner steps is domains * passes.
        inner_lr, hypergradient, loss, normalisation: as for `Descent`.

    Other Args:
        rule, outer, name: as for `Descent`.

    Raises:
        UnsupportedError: in meta-training, tasks without domains.
        ArgumentError: in meta-training, tasks of another number of domains.
        ShapeError: a support that is no multiple of the number of domains.

    Examples:
        >>> from quickstudy.learners.generalise import DomainDescent
        >>> learner = DomainDescent(qs.models.mlp(2, 3), domains=4, inner_lr=0.1)
        >>> learner.inner_steps
        4
    """

    order_invariant = False  # the order says which domain an example is of

    def __init__(
        self,
        network: nn.Module,
        *,
        domains: PositiveInt,
        passes: PositiveInt = 1,
        inner_lr: PositiveFloat = 0.1,
        hypergradient: Hypergradient = FirstOrder(),
        loss: Loss | None = None,
        normalisation: Normalisation = "support",
        rule: InnerRule = SGD(),
        outer: Gradient | None = None,
        name: str = "DomainDescent",
    ):
        super().__init__(
            network,
            inner_lr=inner_lr,
            inner_steps=domains * passes,
            hypergradient=hypergradient,
            loss=loss,
            normalisation=normalisation,
            rule=rule,
            outer=outer,
            name=name,
        )
        self.domains, self.passes = domains, passes

    def inner_gradient(
        self, theta: Parameters, t: int, support: Examples, context: Context
    ) -> tuple[Parameters, Tensor, Recorded]:
        """That of the domain whose turn it is."""
        turn = stateless_order(context.seed, self.domains, stream=t // self.domains, device=support.y.device)[t % self.domains]
        part = of_domain(stacked(support, self.domains, "support"), turn)
        return super().inner_gradient(theta, t, part, context)

    def prepare(self, tasks: TaskDistribution) -> None:
        check_domains(tasks, self.domains, self.name)
