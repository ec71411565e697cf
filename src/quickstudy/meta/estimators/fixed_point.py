"""Implicit gradients of a training run at its fixed point, through `step` alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from quickstudy.arguments import checked
from quickstudy.episode import Examples
from quickstudy.errors import UnsupportedError
from quickstudy.forward.call import Parameters
from quickstudy.forward.context import Context
from quickstudy.forward.derivatives import gradient_of, pullback, stop
from quickstudy.learners.bilevel.training_run import TrainingRun
from quickstudy.learners.learner import Learner, Loss
from quickstudy.learners.outcome import Outcome
from quickstudy.linear_solvers import Neumann, Solver, dot
from quickstudy.meta.carried import Window, begun, outer_loss, step
from quickstudy.meta.estimator import Estimator


@checked
@dataclass(frozen=True)
class FixedPoint(Estimator):
    """The derivative of the fixed point s* = step(s*, batch; phi), however it was reached.

        d s*/d phi  =  (I - J)^{-1}  d step/d phi,       J = d step/d s                                    (1)
        dL/dphi  =  dL/dphi |_s  +  u' d step/d phi,     (I - J') u = dL/ds                                   (2)

    Memory does not grow with the number of steps. Exact where the run and the solver have converged on this batch; with
    `Identity(1.0)` it is T1-T2, the derivative through the last step alone. The window's steps are taken without a graph, and
    (2) is evaluated at its last batches. I - J' is symmetric, as `ConjugateGradient` needs, where `step` is plain gradient
    descent; `Neumann` and `Exact` serve every rule.

    Args:
        solver: `Neumann(terms=)`, `ConjugateGradient(steps=)`, `Exact()` or `Identity(1.0)`; rates count in units of `step`.

    Source: Lorraine, Vicol & Duvenaud, "Optimizing Millions of Hyperparameters by Implicit Differentiation", AISTATS 2020, eq. 2
    and theorem 1; T1-T2: Luketina et al., ICML 2016.

    Examples:
        >>> from quickstudy.learners.bilevel import LearnedTraining, WeightDecay
        >>> from quickstudy.linear_solvers import Exact
        >>> from quickstudy.meta.estimators import FixedPoint
        >>> learner = LearnedTraining(torch.nn.Linear(2, 1, bias=False), steps=20, inner_lr=1.0, decay=WeightDecay(0.3))
        >>> batch = qs.tasks.Quadratic(dim=2).train.sample(2)
        >>> _, implicit = qs.meta_gradient(learner, batch, estimator=FixedPoint(Exact()))
        >>> _, unrolled = qs.meta_gradient(learner, batch, estimator=qs.Backprop())
        >>> all(torch.allclose(implicit[name], unrolled[name], atol=1e-3) for name in unrolled)
        True
    """

    solver: Solver = Neumann(terms=20)

    def objective(self, learner: Learner, episode: Any, criterion: Loss | None, context: Context) -> Outcome:
        run, scope = cast("TrainingRun", learner), learner.scope(context)
        with scope:
            return self._objective(run, episode, criterion, context)

    def _objective(self, run: TrainingRun, episode: Any, criterion: Loss | None, context: Context) -> Outcome:
        carry: Any = ()
        if isinstance(episode, Window):
            with torch.no_grad():
                state = begun(run, episode)
                steps = episode.episode.support.y.shape[0]
                for k in range(steps):
                    batch, held_out = step(episode.episode.support, k), step(episode.episode.query, k)
                    state = run.step(state, batch)
            carry = stop(state)
        else:
            batch, held_out = episode.support, episode.query
            with torch.no_grad():
                state = run.state(batch, context).values
        loss, residual = self._at_rest(run, stop(state), batch, held_out, criterion)
        return Outcome(loss, {"residual": residual}, {}, carry)

    def _at_rest(
        self, run: TrainingRun, state: Any, batch: Examples, held_out: Examples, criterion: Loss | None
    ) -> tuple[Tensor, Tensor]:
        """A surrogate whose value is L and whose gradient is (2), and the solver's residual."""
        leaves, structure = pytree.tree_flatten(state)
        moving = {str(i): leaf for i, leaf in enumerate(leaves) if leaf.is_floating_point()}

        def whole(values: Parameters) -> Any:
            return pytree.tree_unflatten([values.get(str(i), leaf) for i, leaf in enumerate(leaves)], structure)

        def advanced(values: Parameters) -> Parameters:
            after = pytree.tree_leaves(run.step(whole(values), batch))
            return {name: after[int(name)] for name in values}

        with torch.no_grad():
            v = gradient_of(lambda values: (outer_loss(run, whole(values), held_out, criterion), ()), moving)[0]
            pull = pullback(advanced, moving)[1]

        def H(u: Parameters) -> Parameters:
            Ju = pull(u)
            return {name: one - Ju[name] for name, one in u.items()}

        with torch.no_grad():
            u, residual = self.solver.solve(H, v, next(iter(v.values())).new_ones(()))
        after = pytree.tree_leaves(run.step(state, batch))
        direct = outer_loss(run, state, held_out, criterion)
        through = dot(stop(u), {name: after[int(name)] for name in u})
        return direct + through - through.detach(), residual.detach()  # (2)

    def check(self, learner: Learner) -> None:
        if not isinstance(learner, TrainingRun):
            raise UnsupportedError(
                "estimator",
                expected=f"one that serves {type(learner).__name__}, which defines no step(state, batch) of a training run",
                got="FixedPoint()",
                do="Use Backprop(); a learner that descends takes hypergradient=Implicit(...).",
            )
