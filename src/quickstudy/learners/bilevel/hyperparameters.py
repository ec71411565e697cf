"""Training hyperparameters as phi: weight decays, a learning-rate schedule, label smoothing, dropout rates.

    g       <-  g + e^phi theta                                    weight decay                                 (1)
    a_t      =  e^(phi's curve at t)                               learning-rate schedule                       (2)
    l_i      =  (1 - eps) (-ln p_{y_i})  +  eps mean_k (-ln p_k),  eps = sigmoid(phi)        label smoothing    (3)
    x       <-  x (1 - z) / (1 - p),  z = sigmoid( (logit p + logit u) / T ),  p = sigmoid(phi)        dropout  (4)

Each is a part of `LearnedTraining`. For thousands of them use implicit gradients (`FixedPoint`), for a few forward mode
(`ForwardMode`); evolution serves any.

Source: (1) Lorraine, Vicol & Duvenaud, "Optimizing Millions of Hyperparameters by Implicit Differentiation", AISTATS 2020,
section 5; (2) Maclaurin, Duvenaud & Adams, ICML 2015, section 3.1; (3) Szegedy et al., "Rethinking the Inception
Architecture", CVPR 2016, section 7; (4) Gal, Hron & Kendall, "Concrete Dropout", NeurIPS 2017, eq. 5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.arguments import NonNegativeFloat, PositiveInt, checked
from quickstudy.episode import is_labels
from quickstudy.errors import ArgumentError, LabelError, UnsupportedError
from quickstudy.forward.call import Parameters
from quickstudy.forward.mode import Forward
from quickstudy.learners.bilevel.parts import ExampleLoss, default_each, logit
from quickstudy.random import stateless_uniform

# ---- weight decay ------------------------------------------------------------------------------------------------------


@checked
@dataclass(frozen=True)
class WeightDecay:
    """Learned weight decays; phi holds their logarithms.

    Args:
        initial: the value that every decay starts from, above 0.
        per: "element", one for each weight; "tensor", one for each parameter tensor; "network", one.

    Raises:
        ArgumentError: an initial decay that is not above 0.

    Examples:
        >>> from quickstudy.learners.bilevel import WeightDecay
        >>> learner = qs.LearnedTraining(torch.nn.Linear(4, 3), decay=WeightDecay(0.01, per="tensor"), steps=10)
        >>> {name: round(decay.item(), 3) for name, decay in learner.decays.values().items()}
        {'weight': 0.01, 'bias': 0.01}
    """

    initial: float = 1e-3
    per: Literal["element", "tensor", "network"] = "tensor"

    def __post_init__(self) -> None:
        if not self.initial > 0:
            raise ArgumentError(
                "WeightDecay(initial)",
                expected="a number above 0, since its logarithm is learned",
                got=str(self.initial),
                do="Try 1e-3.",
            )


class Decays(nn.Module):
    """g, theta -> g + lambda theta (1); lambda is a buffer if constant, e^phi if learned."""

    def __init__(self, decay: NonNegativeFloat | WeightDecay, theta: Parameters):
        super().__init__()
        self.names = tuple(theta)
        like = next(iter(theta.values()))
        if isinstance(decay, WeightDecay):
            start = torch.tensor(decay.initial, dtype=like.dtype).log()
            per: dict[str, list[tuple[int, ...]]] = {
                "element": [tuple(p.shape) for p in theta.values()],
                "tensor": [()] * len(theta),
                "network": [()],
            }
            self.log_decay = nn.ParameterList(nn.Parameter(start.expand(shape).clone()) for shape in per[decay.per])
        else:
            self.register_buffer("decay", torch.tensor(float(decay), dtype=like.dtype), persistent=False)

    def forward(self, g: Parameters, theta: Parameters) -> Parameters:
        """(1)"""
        return {name: g[name] + decay * theta[name] for name, decay in self.values().items()}

    def values(self) -> Parameters:
        """lambda of every tensor."""
        if "decay" in self._buffers:
            return dict.fromkeys(self.names, self.get_buffer("decay"))
        each = [one.exp() for one in self.log_decay]
        return dict(zip(self.names, each * len(self.names) if len(each) == 1 else each, strict=True))


# ---- learning-rate schedule --------------------------------------------------------------------------------------------


@checked
class Schedule(nn.Module):
    """A learned schedule of the step size: its logarithm is piecewise linear between `knots`.

        a_t  =  exp( (1 - f) phi_k  +  f phi_{k+1} ),        k + f  =  (knots - 1) min(t, steps - 1) / (steps - 1)   (2)

    Args:
        initial: the rate that every knot starts from, above 0.
        steps: number of steps over which the knots are spread; after them the rate stays at the last knot.
        knots: number of learned rates; 1: a constant rate; `steps`: one for every step.

    Raises:
        ArgumentError: a rate that is not above 0; steps or knots below 1; more knots than steps.

    Examples:
        >>> from quickstudy.learners.bilevel import Schedule
        >>> schedule = Schedule(0.1, steps=10, knots=3)
        >>> schedule.log_rate.shape
        torch.Size([3])
        >>> round(schedule(torch.tensor(4)).item(), 3)  # the rate at step 4, before meta-training
        0.1
        >>> learner = qs.LearnedTraining(torch.nn.Linear(4, 3), inner_lr=schedule, steps=10)
    """

    def __init__(self, initial: float = 0.1, *, steps: int = 100, knots: PositiveInt = 5):
        super().__init__()
        if not initial > 0:
            raise ArgumentError("Schedule(initial)", expected="a rate above 0", got=str(initial), do="Try 0.1.")
        if steps < 1 or not 1 <= knots <= steps:
            raise ArgumentError(
                "Schedule(steps, knots)",
                expected="1 knot or more, and no more of them than steps",
                got=f"{steps} and {knots}",
                do="Give the length of the run as `steps`.",
            )
        self.initial, self.steps, self.knots = initial, steps, knots
        self.log_rate = nn.Parameter(torch.full((knots,), float(initial)).log())

    def forward(self, t: Tensor) -> Tensor:
        """a_t, a scalar, at step t."""
        place = t.clamp(max=self.steps - 1).to(self.log_rate.dtype) * ((self.knots - 1) / max(self.steps - 1, 1))
        knot = torch.arange(self.knots, device=t.device, dtype=place.dtype)
        hat = (1 - (place - knot).abs()).clamp(min=0)  # (1 - f) at k, f at k + 1, 0 elsewhere
        return (hat * self.log_rate).sum().exp()


# ---- label smoothing ---------------------------------------------------------------------------------------------------


@checked
class LabelSmoothing(ExampleLoss):
    """Cross-entropy with learned label smoothing eps (3).

    Args:
        initial: initial eps, between 0 and 1.

    Raises:
        ArgumentError: an initial eps out of range.
        LabelError: targets instead of class labels.

    Examples:
        >>> from quickstudy.learners.bilevel import LabelSmoothing
        >>> logits, y = torch.randn(6, 3), torch.arange(6) % 3
        >>> loss = LabelSmoothing(0.2)
        >>> torch.allclose(loss(logits, y), torch.nn.functional.cross_entropy(logits, y, label_smoothing=0.2))
        True
        >>> learner = qs.LearnedTraining(torch.nn.Linear(4, 3), loss=loss, steps=10)
    """

    def __init__(self, initial: float = 0.1):
        super().__init__()
        if not 0 < initial < 1:
            raise ArgumentError("LabelSmoothing(initial)", expected="between 0 and 1", got=str(initial), do="Try 0.1.")
        self.initial = initial
        self.logit = nn.Parameter(logit(initial))

    def each(self, prediction: Tensor, y: Tensor) -> Tensor:
        """(3)"""
        if not is_labels(y):
            raise LabelError("y", expected="class labels, int64", got=f"targets ({y.dtype})", do="Leave LabelSmoothing() out.")
        eps = self.logit.sigmoid()
        return (1 - eps) * default_each(prediction, y) - eps * F.log_softmax(prediction, -1).mean(-1)


# ---- dropout -----------------------------------------------------------------------------------------------------------


@checked
class ConcreteDropout(nn.Module):
    """Learned rates for the `nn.Dropout` layers of a student, in the order in which they are called (4).

    Instead of being dropped or kept, a unit is multiplied by a number near 0 or 1, so that the rate has a derivative.

    Args:
        initial: initial p, between 0 and 1.
        layers: number of the student's `nn.Dropout` layers.
        temperature: T, of the relaxation.

    Raises:
        ArgumentError: an initial p out of range; no layers; a temperature that is not above 0.
        UnsupportedError: a student with a different number of `nn.Dropout` layers.

    Examples:
        >>> from quickstudy.learners.bilevel import ConcreteDropout
        >>> student = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Dropout(), torch.nn.Linear(8, 3))
        >>> learner = qs.LearnedTraining(student, dropout=ConcreteDropout(0.2), steps=10)
        >>> round(learner.dropout.rates.item(), 3)
        0.2
    """

    def __init__(self, initial: float = 0.2, *, layers: int = 1, temperature: float = 0.1):
        super().__init__()
        if not 0 < initial < 1:
            raise ArgumentError("ConcreteDropout(initial)", expected="between 0 and 1", got=str(initial), do="Try 0.2.")
        if layers < 1:
            raise ArgumentError("layers", expected="1 or more", got=str(layers), do="Count the student's nn.Dropout layers.")
        if not temperature > 0:
            raise ArgumentError("temperature", expected="a number above 0", got=str(temperature), do="The paper has 0.1.")
        self.initial, self.layers, self.temperature = initial, layers, temperature
        self.logit = nn.Parameter(logit(initial).expand(layers).clone())

    @property
    def rates(self) -> Tensor:
        """p of every layer (layers,)."""
        return self.logit.sigmoid()

    def over(self, forward: Forward) -> Forward:
        """The same pass with these dropouts instead of the student's own."""
        return _Concrete(self, forward)

    def check(self, student: nn.Module) -> None:
        """Raise if the student has a different number of dropouts."""
        found = [name for name, part in student.named_modules() if isinstance(part, nn.Dropout)]
        if len(found) != self.layers:
            raise UnsupportedError(
                "dropout",
                expected=f"a student with {self.layers} nn.Dropout layers",
                got=f"one with {len(found)} ({found[:4]})",
                do=f"Put nn.Dropout() where units are to be dropped, or use ConcreteDropout(layers={max(len(found), 1)}).",
            )


class _Concrete(Forward):
    """A pass that replaces F.dropout by (4)."""

    def __init__(self, dropout: ConcreteDropout, forward: Forward):
        super().__init__(forward.context, forward.source, forward.step)
        self.dropout, self.dropouts = dropout, 0

    def __torch_function__(self, function: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is not F.dropout:
            return super().__torch_function__(function, types, args, kwargs)
        x, seed = args[0], self.context.seed
        phi, self.dropouts = self.dropout.logit[self.dropouts % self.dropout.layers], self.dropouts + 1
        u = stateless_uniform(seed + self.step, tuple(x.shape), stream=self.dropouts, dtype=x.dtype, device=x.device)
        z = torch.sigmoid((phi + torch.logit(u)) / self.dropout.temperature)
        return x * (1 - z) / (1 - phi.sigmoid())  # (4)
