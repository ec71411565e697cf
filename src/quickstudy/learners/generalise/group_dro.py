"""GroupDRO: a network for the worst of its domains.

    l_d   =  mean loss on the batch of domain d                                                                (1)
    q_d   <-  q_d exp(eta l_d) / sum_e q_e exp(eta l_e)                          exponentiated gradient ascent     (2)
    phi   <-  phi - a d/dphi sum_d q_d l_d                                       q as a constant                   (3)

With eta = 0 and equal q it is ERM.

Source: Sagawa, Koh, Hashimoto & Liang, "Distributionally Robust Neural Networks for Group Shifts", ICLR 2020, algorithm 1, whose
groups are here domains, as in DomainBed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from quickstudy.arguments import NonNegativeFloat, PositiveInt
from quickstudy.episode import Episode, Examples
from quickstudy.errors import UnsupportedError
from quickstudy.forward.call import apply, plain
from quickstudy.forward.context import Context, Normalisation
from quickstudy.learners.generalise.domains import check_domains, of_domain, stacked
from quickstudy.learners.learner import Learner, Loss
from quickstudy.learners.outcome import Log, Outcome, averages

if TYPE_CHECKING:
    from quickstudy.tasks.distribution.interface import TaskDistribution


class GroupDRO(Learner):
    """A network that lowers the loss of a mixture of its domains, in which the worst counts ever more.

    It is meta-trained on `tasks.by_domain(...)` and answers without a support. The weights q are buffers: they are saved with the
    learner and with a checkpoint. The loss of every domain is in the history of the run. Of several tasks in a step each has its
    own (2) in (3), and q moves by their mean loss.

    Args:
        network: (examples, *feature) -> (examples, ways), or (examples, *target).
        domains: the number of meta-training domains.
        rate: eta.
        normalisation: "running", "transductive" or "frozen": see `Learner`.

    Raises:
        UnsupportedError: in meta-training, tasks without domains; an estimator whose log has no losses of domains.
        ArgumentError: in meta-training, tasks of another number of domains.

    Examples:
        >>> from quickstudy.learners.generalise import GroupDRO
        >>> x, y, year = torch.randn(120, 2), torch.arange(120) % 3, [str(1990 + row // 40) for row in range(120)]
        >>> tasks = qs.tasks.LabelledTasks(x, y, ways=3, shots=0, queries=4, columns={"year": year})
        >>> learner = GroupDRO(qs.models.mlp(2, 3), domains=3, rate=0.1)
        >>> run = qs.meta_train(learner, qs.tasks.by_domain(tasks, "year"), steps=5, tasks_per_step=1, progress=False)
        >>> round(float(learner.weights.sum()), 4), "loss of domain 2" in run.history[0]
        (1.0, True)
    """

    label_equivariant = False  # only after permuting the rows of the network's head as well
    exact_gradient = False  # q moves with the losses: a constant to the derivative
    needs_support = False

    log_weights: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        domains: PositiveInt,
        rate: NonNegativeFloat = 0.01,
        normalisation: Normalisation = "running",
    ):
        super().__init__(normalisation=normalisation)
        self.network, self.domains, self.rate = plain("network", network), domains, rate
        like = next(iter(network.parameters()))
        self.register_buffer("log_weights", torch.zeros(domains, dtype=like.dtype, device=like.device))

    @property
    def weights(self) -> Tensor:
        """q (domains,)."""
        return self.log_weights.softmax(0)

    def learn(self, support: Examples) -> Any:
        """Nothing: the network is trained already."""
        return {}

    def predict(self, values: Any, x: Any) -> Tensor:
        """The network's answer."""
        return apply(self.network, x)

    def outcome(self, episode: Episode, context: Context, criterion: Loss | None = None) -> Outcome:
        """(1) and (3), with the weights of (2)."""
        criterion = self.criterion_of(episode.query, criterion)
        prediction, seen = self.answer(self.state(episode.support, context), episode.query.x, context)
        each = stacked(episode.query.like(prediction, episode.query.y), self.domains, "query")
        parts = [of_domain(each, domain) for domain in range(self.domains)]
        losses = torch.stack([criterion(part.x, part.y) for part in parts])  # (1)
        q = (self.log_weights + self.rate * losses.detach()).softmax(0)  # (2)
        log = {_logged(domain): losses[domain].detach() for domain in range(self.domains)}
        return Outcome((q * losses).sum(), log, averages([seen]) if self.averages(context) else {}, ())  # (3)

    def after(self, log: Log) -> None:
        """(2), for the next step."""
        if _logged(0) not in log:
            raise UnsupportedError(
                "estimator",
                expected="one that logs the loss of each domain, by which GroupDRO weighs them",
                got=f"one that logs {sorted(log)[:4]}",
                do="Use Backprop().",
            )
        losses = torch.stack([log[_logged(domain)].mean() for domain in range(self.domains)])
        moved = self.log_weights + self.rate * losses.to(self.log_weights)
        self.log_weights.copy_(moved.log_softmax(0))

    def prepare(self, tasks: TaskDistribution) -> None:
        check_domains(tasks, self.domains, "GroupDRO")


def _logged(domain: int) -> str:
    return f"loss of domain {domain}"
