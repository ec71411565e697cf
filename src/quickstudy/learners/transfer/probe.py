"""Probe: logistic regression on a frozen pre-trained embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from quickstudy.arguments import PositiveInt
from quickstudy.episode import Examples
from quickstudy.errors import ArgumentError
from quickstudy.forward.call import apply, plain
from quickstudy.forward.context import Normalisation
from quickstudy.learners.functional import unit
from quickstudy.learners.learner import check_ways
from quickstudy.learners.outcome import Values
from quickstudy.learners.solve.newton import logistic_regression
from quickstudy.learners.transfer.pretext import Pretext
from quickstudy.learners.transfer.pretrained import Pretrained

if TYPE_CHECKING:
    from quickstudy.meta.outer.outer import Gradient


class Probe(Pretrained):
    """A linear classifier on a frozen pre-trained embedding f_phi, solved to its optimum.

        z_i  =  f_phi(x_i) / || f_phi(x_i) ||                                                    (1)
        W    =  argmin_W  sum_i CE( W z_i, y_i )  +  lambda/2 ||W||^2                           (2)
        p(y = k | x)  =  softmax_k( W_k z )                                                      (3)

    Args:
        embed: f, (examples, *feature) -> (examples, features).
        pretext: the head of pre-training: `CosineClassifier()` or `Projection()`.
        penalty: lambda; 1 is scikit-learn's C = 1.
        newton_steps: Newton steps of the solver.
        normalisation: "running" by default: the averages of pre-training.
        outer: the outer method that `meta_train` takes by default.
        name: its name in tables.

    Raises:
        ArgumentError: a penalty that is not above 0: separable classes have no finite optimum without it.

    Source: Tian et al., "Rethinking Few-Shot Image Classification: a Good Embedding Is All You Need?", ECCV 2020.
    Differs from it: no intercept.

    Examples:
        >>> from quickstudy.learners.transfer import CosineClassifier, Probe
        >>> learner = Probe(qs.models.mlp(4, 8), CosineClassifier())
        >>> task = qs.tasks.GaussianClasses(ways=3, dim=4, shots=5).test.sample(1)[0]
        >>> learner.adapt(task.support).state
        State(values={'weights': (3, 8)}, statistics of [])
    """

    def __init__(
        self,
        embed: nn.Module,
        pretext: Pretext,
        *,
        penalty: float = 1.0,
        newton_steps: PositiveInt = 8,
        normalisation: Normalisation = "running",
        outer: Gradient | None = None,
        name: str = "Probe",
    ):
        super().__init__(pretext, normalisation=normalisation)
        self.embed = plain("embed", embed)
        self.penalty, self.newton_steps, self.outer, self.name = penalty, newton_steps, outer, name
        if not penalty > 0:
            raise ArgumentError(
                "penalty",
                expected="a number above 0",
                got=str(penalty),
                do="Separable classes have no finite optimum without it; 1 is scikit-learn's default.",
            )

    @property
    def embedding(self) -> nn.Module:
        return self.embed

    def learn(self, support: Examples) -> Values:
        """W (ways, features)."""
        ways = check_ways("support.y", support)
        z = unit(apply(self.embed, support.x))  # (1)
        return {"weights": logistic_regression(z, support.y, ways, self.penalty, self.newton_steps)}  # (2)

    def predict(self, state: Values, x: Any) -> Tensor:
        """Logits (examples, ways)."""
        return unit(apply(self.embed, x)) @ state["weights"].T  # (3)
