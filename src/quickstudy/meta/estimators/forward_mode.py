"""Forward mode: carry the derivative along with the run, one tangent for each meta-parameter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.func import vjp, vmap
from torch.utils import _pytree as pytree

from quickstudy.arguments import PositiveInt, checked
from quickstudy.episode import Examples
from quickstudy.errors import UnsupportedError
from quickstudy.forward.call import Parameters, with_tensors
from quickstudy.forward.context import Context
from quickstudy.learners.bilevel.training_run import TrainingRun
from quickstudy.learners.learner import Learner, Loss
from quickstudy.learners.outcome import Outcome
from quickstudy.meta.carried import Window, follow
from quickstudy.meta.estimator import Estimator
from quickstudy.models.choice import Choice

UNROLLED = "give the learner hypergradient=Unrolled()"


@checked
@dataclass(frozen=True)
class ForwardMode(Estimator):
    """The exact gradient by forward differentiation: for few meta-parameters and runs of any length.

        Z_{t+1}  =  d step/d s  Z_t  +  d step/d phi,     dL/dphi  =  dL/ds Z  +  dL/dphi                  (1)

    Z (meta-parameters, *state) is carried from window to window, so nothing is truncated, and memory
    grows with the length of a window, not with that of the run. (As phi moves, Z holds derivatives at the phi of earlier steps:
    real-time recurrent learning.)

    A tangent is pushed through a window by two reverse passes, J v = d/du <u' J, v>, since the forward rules of torch 2.13 fail
    on norms and on the mean squared error inside a transform.

    Args:
        most: largest number of meta-parameters.

    Source: Franceschi et al., "Forward and Reverse Gradient-Based Hyperparameter Optimization", ICML 2017, algorithm 2.

    Examples:
        >>> from quickstudy.learners.bilevel import LearnedTraining, WeightDecay
        >>> from quickstudy.meta.estimators import ForwardMode
        >>> learner = LearnedTraining(torch.nn.Linear(4, 1), steps=5, decay=WeightDecay(0.1))
        >>> batch = qs.tasks.Quadratic().train.sample(2)
        >>> _, forward = qs.meta_gradient(learner, batch, estimator=ForwardMode())
        >>> _, reverse = qs.meta_gradient(learner, batch, estimator=qs.Backprop())
        >>> all(torch.allclose(forward[name], reverse[name], rtol=1e-4, atol=1e-5) for name in reverse)
        True
    """

    most: PositiveInt = 256

    def init(self, run: TrainingRun, task: Examples, seed: int) -> Any:
        """{"state": s_0, "tangents": Z} with Z = 0; the derivative of a learned start is taken in the first window."""
        state, n = run.init(task, seed), sum(p.numel() for p in run.parameters() if p.requires_grad)
        return {"state": state, "tangents": [leaf.new_zeros(n, *leaf.shape) for leaf in _floating(state)]}

    def objective(self, learner: Learner, episode: Any, criterion: Loss | None, context: Context) -> Outcome:
        phi = {name: parameter for name, parameter in learner.named_parameters() if parameter.requires_grad}
        fixed = {name: value.detach() for name, value in phi.items()}
        if isinstance(episode, Window):
            loss, slopes, carry = _window(cast("TrainingRun", learner), fixed, episode, criterion, context)
        else:
            carry = ()

            def f(phi: Parameters) -> Tensor:
                return with_tensors(learner, phi, lambda other: other.outcome(episode, context, criterion).loss)

            with torch.no_grad():
                loss = f(fixed)
            slopes = _pushed(f, (fixed,), loss, (_directions(fixed),))
        gradient = dict(zip(phi, slopes.split([value.numel() for value in phi.values()]), strict=True))
        along = sum(((phi[name] - fixed[name]).reshape(-1) * one.detach()).sum() for name, one in gradient.items())
        return Outcome(loss.detach() + along, {}, {}, carry)  # value L, gradient (1)

    def check(self, learner: Learner) -> None:
        if not learner.exact_gradient:
            rule = type(getattr(learner, "rule", None)).__name__
            give = f"build the rule with {rule}(keep_gradients=True)" if getattr(learner, "detaches", False) else UNROLLED
            raise UnsupportedError(
                "estimator",
                expected=f"one that serves {type(learner).__name__}, whose meta-gradient is not the derivative of its loss",
                got="ForwardMode()",
                do=f"Use Backprop(), or {give}.",
            )
        hard = [part.use for part in learner.modules() if isinstance(part, Choice) and part.use in ("sampled", "best")]
        if hard:
            raise UnsupportedError(
                "estimator",
                expected=f"one that serves {type(learner).__name__}, whose choices are {hard[0]}: their logits have no slope",
                got="ForwardMode()",
                do="Use ScoreFunction() with use='sampled', or use='mixed'.",
            )
        if getattr(getattr(learner, "hypergradient", None), "recompute", False):
            raise UnsupportedError(
                "estimator",
                expected=f"one that serves {type(learner).__name__}, whose autograd.Function has no third derivative",
                got="ForwardMode()",
                do=f"Use Backprop(), or {UNROLLED}.",
            )
        n = sum(parameter.numel() for parameter in learner.parameters() if parameter.requires_grad)
        if n > self.most:
            raise UnsupportedError(
                "estimator",
                expected=f"one that serves {n} meta-parameters",
                got=f"ForwardMode(most={self.most}), which takes a forward pass for each",
                do="Use Backprop() or Evolution(), or raise `most`.",
            )


def _window(
    run: TrainingRun, phi: Parameters, window: Window, criterion: Loss | None, context: Context
) -> tuple[Tensor, Tensor, Any]:
    state, Z = window.carry["state"], window.carry["tangents"]
    leaves, structure = pytree.tree_flatten(state)
    floating = [i for i, leaf in enumerate(leaves) if leaf.is_floating_point()]

    def rejoined(values: list[Tensor]) -> Any:
        whole = list(leaves)
        for i, value in zip(floating, values, strict=True):
            whole[i] = value
        return pytree.tree_unflatten(whole, structure)

    def f(phi: Parameters, values: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        loss, after = with_tensors(run, phi, lambda run: scoped(run, rejoined(values)))
        return loss, _floating(after)

    def scoped(run: TrainingRun, state: Any) -> tuple[Tensor, Any]:
        scope = run.scope(context)
        with scope:
            return follow(run, window, criterion, state)

    with torch.no_grad():
        loss, after = scoped(run, state)
    slopes, tangents = _pushed(f, (phi, _floating(state)), (loss, _floating(after)), (_directions(phi), Z))
    return loss, slopes, {"state": after, "tangents": tangents}


def _pushed(f: Callable[..., Any], primals: Any, output: Any, tangents: Any) -> Any:
    """J v for every tangent v (a leading axis on its leaves), where output = f(*primals)."""
    u = pytree.tree_map(torch.zeros_like, output)
    # All of it inside vmap, where the derivatives of norms are right at every order (forward/norms.py).
    try:
        return vmap(lambda tangent: vjp(lambda u: vjp(f, *primals)[1](u), u)[1](tangent)[0])(tangents)
    except (RuntimeError, NotImplementedError) as error:  # torch: layer norm among others has no such derivative in a transform
        raise UnsupportedError(
            "estimator",
            expected="one whose derivatives torch has for every operator of the learner",
            got=f"ForwardMode(), in which torch refuses: {str(error).strip().splitlines()[0][:120]}",
            do="Use Backprop() or Evolution().",
        ) from error


def _directions(phi: Parameters) -> Parameters:
    """The unit directions of all meta-parameters, each (meta-parameters, *parameter)."""
    sizes = [value.numel() for value in phi.values()]
    like = next(iter(phi.values()))
    columns = torch.eye(sum(sizes), dtype=like.dtype, device=like.device).split(sizes, 1)
    return {name: part.reshape(-1, *value.shape) for (name, value), part in zip(phi.items(), columns, strict=True)}


def _floating(state: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(state) if leaf.is_floating_point()]
