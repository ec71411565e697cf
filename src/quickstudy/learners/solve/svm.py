"""A support vector machine on a learned embedding: the maximum-margin head, differentiated at its optimum."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.arguments import NonNegativeFloat
from quickstudy.errors import ArgumentError
from quickstudy.forward.context import Normalisation
from quickstudy.learners.compare.comparison import Comparison
from quickstudy.learners.outcome import Log, Values
from quickstudy.learners.solve.quadratic_program import quadratic_program


class SVM(Comparison):
    """Fit a support vector machine to the support in a learned space, and predict with it.

        min_{w, xi}  1/2 sum_k ||w_k||^2 + C sum_n xi_n,     w_{y_n}' z_n - w_k' z_n  >=  1 - [k = y_n] - xi_n          (1)
        max_A  sum_n A_{n y_n} - 1/2 sum_k ||w_k||^2,        A_nk <= C [k = y_n],    sum_k A_nk = 0                     (2)
        w_k  =  sum_n A_nk z_n,          z_n = f_phi(x_n)                                                               (3)
        p(y = k | x)  =  softmax_k( gamma w_k' f_phi(x) )                                                               (4)

    (1) is Crammer & Singer's machine and (2) its dual, which is solved by interior points (`quadratic_program`) for A / C; the
    derivative is that of the optimum. phi is f and gamma (`scale`). The KKT residual of (2) is logged as "residual".

    Args:
        embed: f_phi, (examples, *feature) -> (examples, features).
        C: the cost of a violated margin, above 0.

    Other Args:
        scale: initial gamma.
        solver_steps, tolerance: steps of the quadratic program, and the KKT residual that it must reach.
        normalisation: "running" by default, as for the learners that compare.

    Raises:
        ArgumentError: a C that is not above 0; fewer than 1 solver step.
        ConvergenceError: from `adapt` and from the loss, if the residual is above the tolerance.

    Source: Lee, Maji, Ravichandran & Soatto, "Meta-Learning with Differentiable Convex Optimization", CVPR 2019, eq. 7-9 and 12
    (MetaOptNet-SVM). Differs from the authors' code, which adds the identity to the kernel of (2): here it is (2) itself.

    Examples:
        >>> from quickstudy.learners.solve import SVM
        >>> learner = SVM(qs.models.mlp(4, 8), C=0.1)
        >>> task = qs.tasks.GaussianClasses(ways=3, dim=4, shots=5).test.sample(1)[0]
        >>> values = learner.adapt(task.support).state.values
        >>> values["weights"].shape, bool(values["residual"] < 1e-4)
        (torch.Size([8, 3]), True)
    """

    def __init__(
        self,
        embed: nn.Module,
        *,
        C: float = 0.1,
        scale: float = 1.0,
        solver_steps: int = 16,
        tolerance: NonNegativeFloat = 1e-4,
        normalisation: Normalisation = "running",
    ):
        super().__init__(embed, normalisation=normalisation)
        if not C > 0:
            raise ArgumentError("C", expected="a number above 0", got=str(C), do="0.1 is the paper's.")
        if solver_steps < 1:
            raise ArgumentError("solver_steps", expected="1 or more", got=str(solver_steps), do="16 is the default.")
        self.C, self.solver_steps, self.tolerance = C, solver_steps, tolerance
        self.scale = nn.Parameter(torch.tensor(float(scale)))

    def read(self, z: Tensor, y: Tensor, ways: int) -> Values:
        """Weights (features, ways), which include gamma, and the KKT residual."""
        Y = F.one_hot(y, ways).to(z.dtype)
        A, residual = quadratic_program(self.C * z @ z.T, Y, Y, steps=self.solver_steps, tolerance=self.tolerance)  # (2)
        return {"weights": self.scale * self.C * z.T @ A, "residual": residual}  # (3)

    def compare(self, state: Values, z: Tensor) -> Tensor:
        """Logits (examples, ways)."""
        return z @ state["weights"]  # (4)

    def measured(self, values: dict[str, Tensor]) -> Log:
        """The residual of (2)."""
        return {"residual": values["residual"].detach()}
