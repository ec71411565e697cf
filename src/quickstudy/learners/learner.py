"""Learner: a learning algorithm F_phi, support set in, predictor out.

    F_phi(support)(x)  =  predict(learn(support), x)

A learner is a plain `nn.Module` whose parameters are phi, the part of learning that is itself learned. It is written for one
task; executors add the `tasks` axis. A new one defines `learn` and `predict`; the base gives the rest.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from quickstudy.episode import Episode, Examples, check_finite, is_labels
from quickstudy.errors import LabelError, NotFiniteError, QuickstudyError, ShapeError, TaskError, UnsupportedError
from quickstudy.network import Parameters
from quickstudy.rules import Normalisation, Rules, Source, active, check_normalisation

if TYPE_CHECKING:
    from pathlib import Path

    from quickstudy.learners.predictor import Predictor
    from quickstudy.tasks.distribution import TaskDistribution

State = Any
Loss = Callable[[Tensor, Tensor], Tensor]
Measures = dict[str, Tensor]

# Where batch norm takes its statistics as a learner that takes no inner steps reads the support, and as it answers a query.
LEARN: dict[Normalisation, Source] = {"support": "record", "running": "running", "transductive": "batch", "frozen": "running"}
PREDICT: dict[Normalisation, Source] = {"support": "replay", "running": "running", "transductive": "batch", "frozen": "running"}
# And where a learner's own loss, called outside an executor, runs a network plainly.
LOSS: dict[Normalisation, Source] = {"support": "batch", "running": "running", "transductive": "batch", "frozen": "running"}


class Learner(nn.Module):
    """The base of every learner.

    A new learner defines

        learn(support) -> state       a dict of tensors: prototypes, adapted parameters, a memory; pure
        predict(state, x) -> Tensor   (examples, ways) logits, or (examples, *target) targets

    and calls its networks plainly (`self.embed(support.x)`): `learn` and `predict` run under the normalisation policy and
    write to no buffer. A learner that runs its networks through `network.call` says `class Mine(Learner, rules=False)`.

    Args:
        normalisation: "support" (statistics of the support set, replayed for queries; not transductive), "running" (running
            averages, updated by the outer loop), "transductive" (each batch its own) or "frozen" (running averages, as given).

    Raises:
        ArgumentError: a normalisation that does not exist.
    """

    arguments: dict[str, Any]  # what it was built with, by name
    normalisation: Normalisation = "support"
    label_equivariant = True  # relabelling the classes permutes the answer
    order_invariant = True  # the order of the support set does not matter
    exact_gradient = True  # its meta-gradient is the derivative of its loss
    needs_support = True
    query_like_support = True  # a query has the features of a support example; False where classes are described
    meta_learns = True  # False: nothing of it is meta-trained, whatever parameters it has

    def __new__(cls, *args: Any, **kwargs: Any) -> Learner:
        learner = super().__new__(cls)
        learner.__dict__["arguments"] = inspect.signature(cls.__init__).bind_partial(None, *args, **kwargs).arguments
        return learner

    def __init__(self, *, normalisation: Normalisation = "support"):
        super().__init__()
        self.normalisation = check_normalisation(normalisation)

    def __init_subclass__(cls, rules: bool = True, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if rules:
            wrapped: dict[str, Callable[[Any], Any]] = {"learn": _learn_under_rules, "predict": _predict_under_rules}
            wrapped |= {"loss": _loss_under_rules, "measured_loss": _loss_under_rules}
            for name, under in wrapped.items():
                if name in vars(cls):
                    setattr(cls, name, under(vars(cls)[name]))

    # ---- what a learner defines ----

    def learn(self, support: Examples) -> State:
        """Read the support set into a state: a dict of tensors."""
        raise _undefined(self, "learn(support) -> state")

    def predict(self, state: State, x: Any) -> Tensor:
        """Answer for x, (examples, ways) logits or (examples, *target) targets, from a state."""
        raise _undefined(self, "predict(state, x) -> Tensor")

    # ---- what it has from its base ----

    def adapt(self, support: Examples) -> Predictor:
        """Learn from a support set and return a predictor. Keeps no graph and changes nothing of the learner.

        Raises:
            TaskError: an empty support, for a learner that needs one.
            LabelError: labels that are not the integers 0..ways-1.
            ShapeError: examples of another shape than its networks take.
            NotFiniteError: NaN or infinity in the support, or an inner loop that diverges.
        """
        from quickstudy.learners.predictor import Predictor

        check_support(self, support)
        with torch.no_grad(), shapes_explained("support.x", support.x):
            state = pytree.tree_map(_own, self.learn(support))
        if not all(bool(torch.isfinite(leaf).all()) for leaf in pytree.tree_leaves(state) if leaf.is_floating_point()):
            raise self.divergence(support)
        return Predictor(self, state, support)

    def forward(self, support: Examples, x: Any) -> Tensor:
        """predict(learn(support), x), differentiable in phi."""
        return self.predict(self.learn(support), x)

    def loss(self, episode: Episode, criterion: Loss | None = None) -> Tensor:
        """criterion(predict(learn(support), query.x), query.y), a scalar: what the across-task training lowers."""
        return (criterion or self.criterion)(self(episode.support, episode.query.x), episode.query.y)

    def measured_loss(self, episode: Episode, criterion: Loss | None = None) -> tuple[Tensor, Measures]:
        """The loss, and what else was measured on the way (scalars by name). Executors map this."""
        return self.loss(episode, criterion), {}

    @property
    def criterion(self) -> Loss:
        """The loss that this learner is trained with where none is given."""
        return default_loss

    def prepare(self, tasks: TaskDistribution) -> None:
        """Called once before meta-training, for a learner whose shape depends on the meta-training tasks."""

    def at(self, step: int) -> bool:
        """Called before meta-step `step` (1, 2, ...), outside every transform: move what a schedule moves.

        A function of `step` alone, so that a resumed run goes on as an unbroken one. Numbers that change are buffers. Returns
        whether the structure changed too (which losses are summed, whether a derivative is of second order).
        """
        changed = [part.at(step) for part in self.children() if isinstance(part, Learner)]
        return any(changed)

    def adapted(self, state: State) -> Parameters | None:
        """Which of the state are adapted parameters, by their names in phi; None where the learner adapts none."""
        return None

    def divergence(self, support: Examples) -> NotFiniteError:
        """The error that says where learning from `support` left the finite numbers."""
        return NotFiniteError(
            "support",
            expected="a support set from which a finite state is learned",
            got=f"NaN or infinity in the state that {type(self).__name__} learned",
            do="Look at the scale of the inputs and at the learner's own parameters.",
        )

    def save(self, path: str | Path) -> None:
        """Save as a folder: config.json and weights.safetensors. `quickstudy.load(path)` reads it back."""
        from quickstudy.store import save

        save(self, path)


def default_loss(prediction: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy for integer labels (examples,), mean squared error for targets."""
    return F.cross_entropy(prediction, y) if is_labels(y) else F.mse_loss(prediction, y)


def check_support(learner: Learner, support: Examples) -> None:
    """Raise where `support` cannot be learned from."""
    if torch.is_inference_mode_enabled():
        raise UnsupportedError(
            "adapt",
            expected="to be called outside torch.inference_mode(), since an inner loop takes gradients",
            got="inference mode",
            do="Leave it out: adapt and predict keep no graph as it is.",
        )
    if len(support) == 0 and learner.needs_support:
        raise TaskError(
            "support",
            expected="at least one example",
            got="none",
            do=f"{type(learner).__name__} learns from examples: give it one for each class.",
        )
    if not is_labels(support.y) and not support.y.is_floating_point():
        raise LabelError(
            "support.y",
            expected="class labels of dtype torch.int64, or floating-point targets",
            got=str(support.y.dtype),
            do="Convert class labels with y.long().",
        )
    check_finite("support", support)


SHAPE_TROUBLE = ("shapes cannot be multiplied", "Expected 3D", "to have", "must match", "size mismatch", "to match target")


@contextmanager
def shapes_explained(argument: str, x: Any) -> Iterator[None]:
    """Torch's complaint of shapes that do not fit, from within a network, as a ShapeError about what was handed in."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if isinstance(error, QuickstudyError) or not any(words in str(error) for words in SHAPE_TROUBLE):
            raise
        shapes = [tuple(leaf.shape) for leaf in pytree.tree_leaves(x)]
        raise ShapeError(
            argument,
            expected="examples of the shape that the learner's networks take",
            got=f"{shapes[0] if len(shapes) == 1 else shapes!s}, of which torch says: {' '.join(str(error).split())[:160]}",
            do="Bring them to the size and channels that it was trained on: a run's preprocessing.json says which.",
        ) from error


def check_ways(argument: str, support: Examples) -> int:
    """The number of classes of `support`, for learners that classify."""
    if support.ways is None:
        raise LabelError(
            argument,
            expected="class labels, integers 0..ways-1",
            got=f"y of dtype {support.y.dtype}",
            do="Convert labels with y.long(); for targets take a learner that regresses, such as MAML.",
        )
    return support.ways


def check_outputs(prediction: Tensor, support: Examples) -> None:
    """Raise where a network has fewer outputs than the task has classes."""
    if support.ways is not None and prediction.shape[-1] < support.ways:
        raise ShapeError(
            "network",
            expected=f"at least {support.ways} outputs, one for each class of the support",
            got=f"{prediction.shape[-1]}",
            do=f"Build it with ways={support.ways}.",
        )


# ---- learn and predict under the policy --------------------------------------------------------------------------------


def _learn_under_rules(learn: Callable[..., State]) -> Callable[..., State]:
    @functools.wraps(learn)
    def under_rules(self: Learner, support: Examples, *steps: int | None) -> State:
        outer = active()
        if _already_ruled(self, outer):
            return learn(self, support, *steps)
        rules = Rules(LEARN[self.normalisation], seed=outer.seed if outer else None)
        with rules, _unwritten(self, outer):
            state = learn(self, support, *steps)
        if not rules.kept:
            return state
        return {
            **(state if isinstance(state, dict) else {"state": state}),
            "statistics": [tuple(kept[:2]) for kept in rules.kept],
        }

    return under_rules


def _predict_under_rules(predict: Callable[[Any, State, Any], Tensor]) -> Callable[[Any, State, Any], Tensor]:
    @functools.wraps(predict)
    def under_rules(self: Learner, state: State, x: Any) -> Tensor:
        outer = active()
        kept: Any = ()
        if isinstance(state, dict) and "statistics" in state:
            kept = [(mean, variance, 0) for mean, variance in state["statistics"]]
            state = {key: value for key, value in state.items() if key != "statistics"}
            state = state["state"] if state.keys() == {"state"} else state
        if _already_ruled(self, outer):
            return predict(self, state, x)
        with Rules(PREDICT[self.normalisation], kept=kept, seed=outer.seed if outer else None, step=1), _unwritten(self, outer):
            return predict(self, state, x)

    return under_rules


def _loss_under_rules(loss: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(loss)
    def under_rules(self: Learner, episode: Episode, criterion: Loss | None = None) -> Any:
        if active() is not None:
            return loss(self, episode, criterion)
        with Rules(LOSS[self.normalisation], episode=True), _unwritten(self, None):
            return loss(self, episode, criterion)

    return under_rules


def _already_ruled(learner: Learner, outer: Rules | None) -> bool:
    """Inside another learn or predict, or in an episode of training whose rules already say all (running averages)."""
    return outer is not None and (not outer.episode or learner.normalisation == "running")


@contextmanager
def _unwritten(learner: Learner, outer: Rules | None) -> Iterator[None]:
    """Outside an executor: clones stand in the place of the buffers, so that the forward writes to no buffer of the user's."""
    if outer is not None:
        yield
        return
    own = {}
    for module in learner.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None:
                own[module, name] = buffer
                module._buffers[name] = buffer.clone()
    try:
        yield
    finally:
        for (module, name), buffer in own.items():
            module._buffers[name] = buffer


def _own(leaf: Any) -> Tensor:
    """The tensor itself, or a copy where it is a parameter of the learner (after 0 inner steps), which further training moves."""
    if not isinstance(leaf, Tensor):
        raise UnsupportedError(
            "learn(support)",
            expected="a state of tensors only",
            got=f"a {type(leaf).__name__} in it",
            do="Keep what is fixed on the learner: vmap returns tensors only, and a state is saved as tensors.",
        )
    return leaf.detach().clone() if leaf.requires_grad else leaf


def _undefined(learner: Learner, what: str) -> UnsupportedError:
    return UnsupportedError(
        type(learner).__name__, expected=f"a learner that defines {what}", got="one that does not", do="Define it."
    )
