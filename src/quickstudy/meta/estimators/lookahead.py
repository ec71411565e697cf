"""Lookahead: the gradient of one step ahead, for a phi trained alongside its student."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch.utils import _pytree as pytree

from quickstudy.arguments import checked
from quickstudy.episode import Examples
from quickstudy.errors import UnsupportedError
from quickstudy.forward.context import Context
from quickstudy.forward.derivatives import stop
from quickstudy.learners.bilevel.training_run import TrainingRun
from quickstudy.learners.learner import Learner, Loss
from quickstudy.learners.outcome import Outcome
from quickstudy.meta.carried import Window, begun, outer_loss, step
from quickstudy.meta.estimator import Estimator


@checked
@dataclass(frozen=True)
class Lookahead(Estimator):
    """Look one virtual step ahead, improve phi, and only then take the real step.

        second order   g  =  d/dphi  objective( step(s, batch; phi), held-out; phi )                         (1)
        first order    g  =  d/dphi  objective( s, held-out; phi )                                              (2)
        phi  <-  phi - b g,     then     s  <-  step(s, batch; phi)                                          (3)

    First order sees only how phi acts directly on the outer loss, as an architecture does. The stream's window is 1; the real
    step (3) of a state is taken when the next gradient is computed.

    Args:
        order: 1 or 2.

    Source: Liu, Simonyan & Yang, "DARTS: Differentiable Architecture Search", ICLR 2019, eq. 6-7 (2) and algorithm 1; Shu et al.,
    "Meta-Weight-Net", NeurIPS 2019, eq. 3-5. DARTS approximates the second order by finite differences; here it is exact.

    Examples:
        >>> from quickstudy.learners.bilevel import LearnedTraining, WeightDecay
        >>> from quickstudy.meta.estimators import Lookahead
        >>> x = torch.randn(60, 4)
        >>> tasks = qs.tasks.Streams(x, x.sum(1, keepdim=True), batch=8, window=1)
        >>> learner, outer = LearnedTraining(torch.nn.Linear(4, 1), decay=WeightDecay(0.1)), qs.Gradient(Lookahead())
        >>> run = qs.meta_train(learner, tasks.train, steps=15, tasks_per_step=1, outer=outer, executor="loop", progress=False)
        >>> run.history[-1]["loss"] < run.history[0]["loss"]  # the student takes a step beside each step of phi
        True
    """

    order: Literal[1, 2] = 2

    def init(self, run: TrainingRun, task: Examples, seed: int) -> Any:
        """The state, and the batch whose real step is still to be taken (none yet)."""
        return {"state": run.init(task, seed), "batch": [task.x, task.y], "due": torch.zeros((), dtype=torch.bool)}

    def objective(self, learner: Learner, episode: Any, criterion: Loss | None, context: Context) -> Outcome:
        run = cast("TrainingRun", learner)
        if not isinstance(episode, Window):
            raise _no_run(learner)
        scope = learner.scope(context)
        with scope:
            return self._ahead(run, episode, criterion)

    def _ahead(self, run: TrainingRun, episode: Window, criterion: Loss | None) -> Outcome:
        carry, support = episode.carry, episode.episode.support
        with torch.no_grad():
            real = run.step(carry["state"], support.like(*carry["batch"]))  # (3), of the window before
        state = pytree.tree_map(lambda new, old: torch.where(carry["due"], new.detach(), old), real, carry["state"])
        state = begun(run, episode, state)
        batch, held_out = step(support, 0), step(episode.episode.query, 0)
        ahead = run.step(state, batch) if self.order == 2 else stop(state)
        loss = outer_loss(run, ahead, held_out, criterion)  # (1), (2)
        due = torch.ones_like(carry["due"])
        return Outcome(loss, {}, {}, {"state": stop(state), "batch": [batch.x, batch.y], "due": due})

    def check(self, learner: Learner) -> None:
        if not isinstance(learner, TrainingRun):
            raise _no_run(learner)


def _no_run(learner: Learner) -> UnsupportedError:
    return UnsupportedError(
        "estimator",
        expected=f"one that serves {type(learner).__name__} on whole episodes",
        got="Lookahead(), which looks one step ahead of a training run on a stream (tasks.Streams)",
        do="Use Backprop().",
    )
