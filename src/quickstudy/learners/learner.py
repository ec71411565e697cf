"""Learner: a learning algorithm F_phi, support set in, predictor out.

    F_phi(support)(x)  =  predict(learn(support), x)

A learner is a plain `nn.Module` whose parameters are phi, the part of learning that is itself learned. Its author writes two
verbs, for one task, and calls networks plainly:

    learn(support) -> values       predict(values, x) -> Tensor

As `forward` is entered through `__call__`, so the verbs are entered through methods of the base that open a scope, call, and
close it. Everybody calls `adapt`, `learner(support, x)` and `loss`, which run on a private copy of the learner; the parts of
the package that have such a copy call `state`, `answer` and `outcome` on it, with a `Context`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from quickstudy.episode import Episode, Examples, absent_class, check_finite
from quickstudy.errors import LabelError, NotFiniteError, QuickstudyError, ShapeError, TaskError, UnsupportedError
from quickstudy.forward.blueprint import Blueprint, share
from quickstudy.forward.call import Parameters
from quickstudy.forward.context import Context, Normalisation, check_normalisation, source
from quickstudy.forward.mode import Forward, Statistics
from quickstudy.learners.outcome import Answered, Log, Outcome, Recorded, State, averages
from quickstudy.registry import register
from quickstudy.targets import Target, check_fit_of_own

if TYPE_CHECKING:
    from pathlib import Path

    from quickstudy.learners.predictor import Predictor
    from quickstudy.tasks.distribution.interface import TaskDistribution

Loss = Callable[[Tensor, Tensor], Tensor]


@share
class Arguments(dict[str, Any]):
    """What a learner was built with, by name."""


class Learner(nn.Module):
    """The base of every learner.

    A new learner defines

        learn(support) -> values       tensors, in dicts, lists and tuples: prototypes, adapted parameters, a memory; pure
        predict(values, x) -> Tensor   (examples, ways) logits, or (examples, *target) targets
        episode_loss(values, prediction, query, criterion) -> Tensor      where it is not criterion(prediction, query.y)

    and calls its networks plainly (`self.embed(support.x)`). They run under the normalisation policy, write to no buffer, and
    draw from the episode's seed; `self.training` says whether this is meta-training. A learner that runs networks with weights
    of its own, or is made of other learners, defines `state`, `answer` and `outcome` instead, which have the `Context`.

    Args:
        normalisation: "support" (statistics of the support set, replayed for queries; not transductive), "running" (running
            averages, updated by the outer loop), "transductive" (each batch its own) or "frozen" (running averages, as given).

    Raises:
        ArgumentError: a normalisation that does not exist.
        UnsupportedError: a class that defines `adapt`, `loss` or `forward`, which belong to the base.
    """

    arguments: dict[str, Any]  # what it was built with, by name
    normalisation: Normalisation = "support"
    is_copy = False  # a private copy, made for one call
    label_equivariant = True  # relabelling the classes permutes the answer
    order_invariant = True  # the order of the support set does not matter
    exact_gradient = True  # its meta-gradient is the derivative of its loss
    needs_support = True
    query_like_support = True  # a query has the features of a support example; False where classes are described
    meta_learns = True  # False: nothing of it is meta-trained, whatever parameters it has

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        register(cls)

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        _check_final(cls)
        learner = super().__new__(cls)
        given = inspect.signature(cls.__init__).bind_partial(None, *args, **kwargs).arguments
        learner.__dict__["arguments"] = Arguments(given)
        return learner

    def __init__(self, *, normalisation: Normalisation = "support"):
        super().__init__()
        self.normalisation = check_normalisation(normalisation)

    # ---- what a learner defines ----

    def learn(self, support: Examples) -> Any:
        """Read the support set into values: tensors in dicts, lists and tuples."""
        raise _undefined(self, "learn(support) -> values")

    def predict(self, values: Any, x: Any) -> Tensor:
        """Answer for x, (examples, ways) logits or (examples, *target) targets, from what was learned."""
        raise _undefined(self, "predict(values, x) -> Tensor")

    def episode_loss(self, values: Any, prediction: Tensor, query: Examples, criterion: Loss) -> Tensor:
        """What the across-task training lowers on an episode, a scalar: the criterion of the prediction."""
        return criterion(prediction, query.y)

    def measured(self, values: Any) -> Log:
        """Scalars of what was learned, for people: a solver's residual. They stand in the record of every meta-step."""
        return {}

    # ---- what everybody calls: final ----

    def adapt(self, support: Examples, *, seed: int = 0) -> Predictor:
        """Learn from a support set and return a predictor. Keeps no graph and changes nothing of the learner.

        Args:
            seed: of whatever the learner draws; the same seed gives the same predictor.

        Raises:
            TaskError: an empty support, for a learner that needs one.
            LabelError: a class without an example, for a learner that needs one of each.
            ShapeError: examples of another shape than its networks take.
            NotFiniteError: NaN or infinity in the support, or an inner loop that diverges.
        """
        from quickstudy.learners.predictor import Predictor, features_of

        check_support(self, support)
        support = support.map(lambda leaf: leaf.to(self.device))
        with torch.no_grad(), shapes_explained("support.x", support.x):
            state = pytree.tree_map(_own, self.copied().state(support, Context(False, seed)))
        if not all(bool(torch.isfinite(leaf).all()) for leaf in pytree.tree_leaves(state) if leaf.is_floating_point()):
            raise absent_class(support) or self.divergence(support)
        return Predictor(self, state, support.target, features_of(support.x), seed)

    def forward(self, support: Examples, x: Any, *, steps: int | None = None) -> Tensor:
        """predict(learn(support), x), differentiable in phi; after `steps` inner steps where the learner takes any."""
        learner, context = self.copied(), Context()
        return learner.answer(learner.state(support, context, steps), x, context).prediction

    def loss(self, episode: Episode, criterion: Loss | None = None) -> Tensor:
        """The loss of an episode, a scalar, differentiable in phi: what the across-task training lowers."""
        return self.copied().outcome(episode, Context(), criterion).loss

    def copied(self, training: bool = False) -> Self:
        """A private copy for one call; it shares phi, and what is written in it is gone with it."""
        return Blueprint(self, training)()

    # ---- on a private copy: the verbs under a scope ----

    def state(self, support: Examples, context: Context, steps: int | None = None) -> State:
        """What is learned from the support, and the statistics of its norms."""
        if steps is not None:
            raise UnsupportedError(
                "steps", expected="a learner that takes inner steps", got=type(self).__name__, do="Leave `steps` out."
            )
        forward = Forward(context, source(self.normalisation, "support", context.training))
        with forward:
            values = self.learn(support)
        return State(values, forward.statistics, forward.values)

    def answer(self, state: State, x: Any, context: Context) -> Answered:
        """The prediction from a state, and what its norms recorded."""
        norms = source(self.normalisation, "query", context.training)
        forward = Forward(context, norms, -1, state.statistics if norms == "replay" else None)
        with forward:
            prediction = self.predict(state.values, x)
        return Answered(prediction, recorded(forward))

    def outcome(self, episode: Episode, context: Context, criterion: Loss | None = None) -> Outcome:
        """What an executor differentiates of one task."""
        state = self.state(episode.support, context)
        prediction, seen = self.answer(state, episode.query.x, context)
        with Forward(context, "batch", -2):
            loss = self.episode_loss(state.values, prediction, episode.query, self.criterion_of(episode.query, criterion))
        statistics = averages([(state.statistics, state.counts), seen]) if self.averages(context) else {}
        return Outcome(loss, self.measured(state.values), statistics, ())

    def scope(self, context: Context) -> Forward:
        """One pass that spans an episode, for whoever runs the learner's networks otherwise than by its verbs."""
        return Forward(context, source(self.normalisation, "episode", context.training))

    def averages(self, context: Context) -> bool:
        """Whether norms record statistics for the outer loop to average."""
        return context.training and self.normalisation == "running"

    # ---- what it has from its base ----

    @property
    def criterion(self) -> Loss | None:
        """A loss of its own, that the learner is trained with; None: that of the kind of target (`Examples.target`)."""
        return None

    def criterion_of(self, examples: Examples, given: Loss | None = None) -> Loss:
        """What scores a prediction of these examples: the loss given, the learner's own, or that of their kind.

        Shapes are checked in each case, so that nothing broadcasts.
        """
        return checked(given or self.criterion, examples.target)

    @property
    def device(self) -> torch.device:
        """Where the learner lies; supports and queries are brought there."""
        tensors = (*self.parameters(), *self.buffers())
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    def prepare(self, tasks: TaskDistribution) -> None:
        """Called once before meta-training, for a learner whose shape depends on the meta-training tasks."""

    def at(self, step: int) -> bool:
        """Called before meta-step `step` (1, 2, ...), outside every transform: move what a schedule moves.

        A function of `step` alone, so that a resumed run goes on as an unbroken one. Numbers that change are buffers. Returns
        whether the structure changed too (which losses are summed, whether a derivative is of second order).
        """
        changed = [part.at(step) for part in self.children() if isinstance(part, Learner)]
        return any(changed)

    @property
    def innermost(self) -> Learner:
        """The learner itself, or the one within all its wrappers."""
        return self

    @property
    def adapts_parameters(self) -> bool:
        """Whether `adapted` finds any in its states."""
        return type(self).adapted is not Learner.adapted

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
        from quickstudy.artifacts.store import save

        save(self, path)


FINAL = ("adapt", "forward", "loss", "copied")


def _check_final(cls: type[Learner]) -> None:
    for name in FINAL:
        if getattr(cls, name) is not getattr(Learner, name):
            verb = {"loss": "episode_loss(values, prediction, query, criterion)", "forward": "predict(values, x)"}
            raise UnsupportedError(
                f"{cls.__name__}.{name}",
                expected="a learner that leaves it to the base, which opens the scope of norms and draws",
                got="one that defines it",
                do=f"Define {verb.get(name, 'learn(support)')}.",
            )


def recorded(forward: Forward) -> Recorded:
    """The statistics that a pass recorded, cut from the graph, and the values behind each."""
    if forward.source != "record":
        return {}, {}
    return {key: Statistics(one[0].detach(), one[1].detach()) for key, one in forward.statistics.items()}, forward.values


def checked(criterion: Loss | None, target: Target) -> Loss:
    """A criterion that refuses shapes that do not fit; None: the loss of the kind."""
    if criterion is None:
        return target.loss

    def loss(prediction: Tensor, y: Tensor) -> Tensor:
        check_fit_of_own(target, prediction, y)
        return criterion(prediction, y)

    return loss


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
            expected="class labels, int64 (examples,) or, of a batch, (tasks, examples)",
            got=f"y of dtype {support.y.dtype} and shape {tuple(support.y.shape)}",
            do="Convert class labels with y.long(); for targets take a learner that regresses, such as MAML.",
        )
    return support.ways


def _own(leaf: Any) -> Tensor:
    """The tensor itself, or a copy where it is a parameter of the learner (after 0 inner steps), which further training moves."""
    if not isinstance(leaf, Tensor):
        raise UnsupportedError(
            "learn(support)",
            expected="values that are tensors only",
            got=f"a {type(leaf).__name__} among them",
            do="Keep what is fixed on the learner: vmap returns tensors only, and a state is saved as tensors.",
        )
    return leaf.detach().clone() if leaf.requires_grad else leaf


def _undefined(learner: Learner, what: str) -> UnsupportedError:
    return UnsupportedError(
        type(learner).__name__, expected=f"a learner that defines {what}", got="one that does not", do="Define it."
    )
