"""Checks of the meta-gradient: every executor agrees with the loop, and the loop with finite differences of the loss."""

from __future__ import annotations

import torch

from quickstudy.episode import Episode, stack
from quickstudy.learners.learner import Learner
from quickstudy.meta.estimators.backprop import Backprop
from quickstudy.meta.executors import Threads, Vmap
from quickstudy.meta.executors.auto import difference_from_loop
from quickstudy.meta.gradient import meta_gradient
from quickstudy.meta.problem import Problem
from quickstudy.testing.check import SLOPE_TOLERANCE, ConformanceError, double, meta_learns, scaled


def check_executors(learner: Learner, episode: Episode) -> None:
    """Threads and vmap give the loop's meta-gradient in float64, if they support the learner."""
    if not meta_learns(learner):
        return
    problem = Problem(learner, Backprop())
    episodes = stack([episode, Episode(scaled(episode.support, 0.7), scaled(episode.query, 1.2))])
    for executor in (Threads(2), Vmap()):
        difference = executor.refusal(problem) or difference_from_loop(problem, executor, episodes)
        if difference is not None and "differs from the loop" in difference:
            raise ConformanceError(
                "executors",
                learner,
                f"with {executor.name} {difference}",
                "Keep no Python state between tasks, call networks plainly, draw nothing from the generators of Python or "
                "NumPy, and close no autograd.Function over a tensor.",
            )


def check_gradient(learner: Learner, episode: Episode) -> None:
    """The meta-gradient agrees with central differences of the loss along a random direction of each parameter.

    Only for learners with `exact_gradient`: first-order and similar meta-gradients are not the derivative of the loss.
    """
    if not meta_learns(learner) or not learner.exact_gradient:
        return
    learner, episode = double(learner, episode)
    _, gradient = meta_gradient(learner, [episode])
    generator, step = torch.Generator().manual_seed(2), 1e-6
    scale = max(float(one.norm()) for one in gradient.values())
    for name, parameter in learner.named_parameters():
        if not parameter.requires_grad or not parameter.numel():
            continue
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(parameter.device)
        direction = direction / direction.norm()
        here, losses = parameter.detach().clone(), []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.copy_(here + sign * step * direction)
            losses.append(float(meta_gradient(learner, [episode])[0]))
        with torch.no_grad():
            parameter.copy_(here)
        slope, differences = float((gradient[name] * direction).sum()), (losses[0] - losses[1]) / (2 * step)
        if abs(slope - differences) > SLOPE_TOLERANCE * max(abs(differences), scale, 1e-4):
            raise ConformanceError(
                "gradient",
                learner,
                f"along a direction of `{name}` the loss has the slope {differences:.6g} and its meta-gradient {slope:.6g}",
                "Look for a detach, a .data, a no_grad or an autograd.Function that closes over this parameter; "
                "or declare `exact_gradient = False`.",
            )
