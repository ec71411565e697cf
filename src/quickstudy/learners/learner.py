"""Learner: a learning algorithm F_phi, support set in, predictor out.

    F_phi(support)(x)  =  predict(learn(support), x)

A learner is a plain `nn.Module`; its parameters are phi, the part of learning that is itself learned. Its author writes two
verbs, for one task, and calls networks plainly:

    learn(support) -> values       predict(values, x) -> Tensor

Just as `__call__` wraps `forward`, methods of the base wrap the verbs: they open a scope, call the verb, and close the scope.
Users call `adapt`, `learner(support, x)` and `loss`, which run on a private copy of the learner; parts of the package that
already hold such a copy call `state`, `answer` and `outcome` on it, with a `Context`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from quickstudy.arguments import check_arguments
from quickstudy.arrays import as_inputs
from quickstudy.calls import Call
from quickstudy.episode import Episode, Examples, absent_class, check_finite, nothing
from quickstudy.errors import ArgumentError, LabelError, NotFiniteError, QuickstudyError, ShapeError, TaskError, UnsupportedError
from quickstudy.forward.blueprint import Blueprint, share
from quickstudy.forward.call import Parameters
from quickstudy.forward.context import Context, Normalisation, check_normalisation, source
from quickstudy.forward.mode import Forward, Statistics
from quickstudy.learners.facts import facts
from quickstudy.learners.outcome import Answered, Log, Outcome, Recorded, State, averages
from quickstudy.registry import is_own, register
from quickstudy.targets import Target, check_fit_of_own

if TYPE_CHECKING:
    from pathlib import Path

    from quickstudy.learners.predictor import Predictor
    from quickstudy.tasks.distribution.interface import TaskDistribution

Loss = Callable[[Tensor, Tensor], Tensor]


@share
class Arguments(dict[str, Any]):
    """The arguments that a learner was built with, by name."""


share(Call)


class Learner(nn.Module):
    """The base of every learner.

    A new learner defines

        learn(support) -> values       tensors, in dicts, lists and tuples: prototypes, adapted parameters, a memory; pure
        predict(values, x) -> Tensor   (examples, ways) logits, or (examples, *target) targets
        episode_loss(values, prediction, query, criterion) -> Tensor      optional; by default criterion(prediction, query.y)

    and calls its networks plainly (`self.embed(support.x)`). They run under the normalisation policy, write to no buffer, and
    draw from the episode's seed; `self.training` says whether this is meta-training. A learner that runs networks with weights
    other than phi, or wraps other learners, defines `state`, `answer` and `outcome` instead, which receive the `Context`.

    Args:
        normalisation: "support" (statistics of the support set, replayed for queries; not transductive), "running" (running
            averages, updated by the outer loop), "transductive" (each batch's own statistics) or "frozen" (running averages,
            never updated).

    Raises:
        ArgumentError: an unknown normalisation.
        UnsupportedError: the class defines `adapt`, `forward`, `loss` or `copied`, which belong to the base.

    Examples:
        >>> from quickstudy.learners.functional import class_means, squared_distance
        >>> class ClassMeans(qs.Learner):
        ...     def learn(self, support):
        ...         return class_means(support.x, support.y, support.ways)
        ...     def predict(self, values, x):
        ...         return -squared_distance(x, values)
        >>> ClassMeans().adapt(qs.Examples(torch.eye(3), torch.arange(3))).predict(torch.eye(3))
        tensor([0, 1, 2])
    """

    arguments: dict[str, Any]  # constructor arguments, by name
    normalisation: Normalisation = "support"
    is_copy = False  # a private copy, made for one call
    label_equivariant = True  # relabelling the classes permutes the answer
    order_invariant = True  # the order of the support set does not matter
    exact_gradient = True  # its meta-gradient is the derivative of its loss
    needs_support = True
    query_like_support = True  # a query has the features of a support example; False if the support describes classes
    meta_learns = True  # False if meta_train must leave its parameters alone

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        register(cls)

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        _check_final(cls)
        learner = super().__new__(cls)
        try:
            given = inspect.signature(cls.__init__).bind_partial(None, *args, **kwargs).arguments
        except TypeError:  # `__init__` itself says it better
            return learner
        if is_own(cls):
            check_arguments(cls.__init__, given)
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
        """Answer for x, (examples, ways) logits or (examples, *target) targets, from what `learn` returned."""
        raise _undefined(self, "predict(values, x) -> Tensor")

    def episode_loss(self, values: Any, prediction: Tensor, query: Examples, criterion: Loss) -> Tensor:
        """The scalar loss of an episode that meta-training minimises; by default the criterion of the prediction."""
        return criterion(prediction, query.y)

    def measured(self, values: Any) -> Log:
        """Scalars to log from what was learned, such as a solver's residual; they are recorded at every meta-step."""
        return {}

    # ---- what everybody calls: final ----

    def adapt(self, support: Examples | None, *, target: Target | None = None, seed: int = 0) -> Predictor:
        """Learn from a support set and return a predictor. Keeps no graph and does not change the learner.

        Args:
            support: the examples of one task; they are moved to the learner's device. None: without any, for a learner that
                answers as it was trained (`needs_support` is False).
            target: without a support, the kind of answer, such as `qs.targets.Labels(10, names=...)`; otherwise the support
                says it.
            seed: seed of the learner's random draws; the same seed gives the same predictor.

        Raises:
            TaskError: an empty support, or none, for a learner that needs one.
            ArgumentError: no support and no target, or both.
            LabelError: a class without an example, for a learner that needs one of each.
            ShapeError: examples of a shape that its networks do not take.
            ArgumentError: examples of a dtype that its networks do not take.
            NotFiniteError: NaN or infinity in the support, or an inner loop that diverges.
        """
        from quickstudy.learners.predictor import Predictor, features_of

        check_support(self, support, target)
        features = [] if support is None else features_of(support.x)
        if support is None:
            assert target is not None  # see check_support
            support = nothing(target)
        support = support.map(lambda leaf: leaf.to(self.device))
        with torch.no_grad(), shapes_explained("support.x", support.x):
            state = pytree.tree_map(_own, self.copied().state(support, Context(False, seed)))
        if not all(bool(torch.isfinite(leaf).all()) for leaf in pytree.tree_leaves(state) if leaf.is_floating_point()):
            raise absent_class(support) or self.divergence(support)
        return Predictor(self, state, support.target, features, seed)

    def forward(self, support: Examples, x: Any, *, steps: int | None = None) -> Tensor:
        """predict(learn(support), x), differentiable in phi; after `steps` inner steps if the learner takes inner steps.

        Arrays, tables and lists in x are brought to the learner's dtype; tensors stay as they are.
        """
        x = inputs_of(x, "x", self)
        learner, context = self.copied(), Context()
        return learner.answer(learner.state(support, context, steps), x, context).prediction

    def loss(self, episode: Episode, criterion: Loss | None = None) -> Tensor:
        """The loss of an episode, a scalar, differentiable in phi: what meta-training minimises."""
        return self.copied().outcome(episode, Context(), criterion).loss

    def copied(self, training: bool = False) -> Self:
        """A private copy for one call: it shares phi, and whatever is written to it is discarded with it."""
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
        """The `Outcome` of one task, for an executor to differentiate."""
        state = self.state(episode.support, context)
        prediction, seen = self.answer(state, episode.query.x, context)
        with Forward(context, "batch", -2):
            loss = self.episode_loss(state.values, prediction, episode.query, self.criterion_of(episode.query, criterion))
        statistics = averages([(state.statistics, state.counts), seen]) if self.averages(context) else {}
        return Outcome(loss, self.measured(state.values), statistics, ())

    def scope(self, context: Context) -> Forward:
        """One forward pass over an episode, for code that runs the learner's networks outside its verbs."""
        return Forward(context, source(self.normalisation, "episode", context.training))

    def averages(self, context: Context) -> bool:
        """Whether norms record statistics for the outer loop to average."""
        return context.training and self.normalisation == "running"

    # ---- what it has from its base ----

    @property
    def criterion(self) -> Loss | None:
        """The learner's own training loss; None: the loss of the kind of target (`Examples.target`)."""
        return None

    def criterion_of(self, examples: Examples, given: Loss | None = None) -> Loss:
        """The loss of predictions for these examples: `given`, else the learner's own, else that of their kind.

        Shapes are checked in each case, so that nothing broadcasts.
        """
        return checked(given or self.criterion, examples.target)

    @property
    def device(self) -> torch.device:
        """The device of the learner's tensors; supports and queries are moved to it."""
        tensors = (*self.parameters(), *self.buffers())
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    def prepare(self, tasks: TaskDistribution) -> None:
        """Called once before meta-training, for a learner whose shape depends on the meta-training tasks."""

    def at(self, step: int) -> bool:
        """Called before meta-step `step` (1, 2, ...), outside every transform: update everything that follows a schedule.

        It depends on `step` alone, so that a resumed run continues like an unbroken one. Numbers that change are buffers.

        Returns:
            Whether the structure changed too (which losses are summed, whether a derivative is of second order).
        """
        changed = [part.at(step) for part in self.children() if isinstance(part, Learner)]
        return any(changed)

    def after(self, log: Log) -> None:
        """Called after each meta-step with the scalars that its tasks logged, (tasks,) each; of parts that are learners too.

        What the learner keeps of them is in buffers, which a checkpoint holds.
        """

    @property
    def innermost(self) -> Learner:
        """The learner itself, or the one within all its wrappers."""
        return self

    @property
    def adapts_parameters(self) -> bool:
        """Whether its states hold adapted parameters, which `adapted` names."""
        return type(self).adapted is not Learner.adapted

    def adapted(self, state: State) -> Parameters | None:
        """The adapted parameters in `state`, by their names in phi; None if the learner adapts none."""
        return None

    def divergence(self, support: Examples) -> NotFiniteError:
        """The error that says where learning from `support` produced NaN or infinity."""
        return NotFiniteError(
            "support",
            expected="a support set from which a finite state is learned",
            got=f"NaN or infinity in the state that {type(self).__name__} learned",
            do="Look at the scale of the inputs and at the learner's own parameters.",
        )

    def __repr__(self) -> str:
        return facts(self)

    def _repr_html_(self) -> str:
        from quickstudy.report.notebook import of_learner

        return of_learner(self)

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
    """The statistics that a pass recorded, detached, and the number of values behind each."""
    if forward.source != "record":
        return {}, {}
    return {key: Statistics(one[0].detach(), one[1].detach()) for key, one in forward.statistics.items()}, forward.values


def checked(criterion: Loss | None, target: Target) -> Loss:
    """`criterion` with a check that shapes match; for None, the loss of `target`."""
    if criterion is None:
        return target.loss

    def loss(prediction: Tensor, y: Tensor) -> Tensor:
        check_fit_of_own(target, prediction, y)
        return criterion(prediction, y)

    return loss


def check_support(learner: Learner, support: Examples | None, target: Target | None = None) -> None:
    """Raise where `support` cannot be learned from, or where it is None and the learner or the user asks for it."""
    if torch.is_inference_mode_enabled():
        raise UnsupportedError(
            "adapt",
            expected="to be called outside torch.inference_mode(), since an inner loop takes gradients",
            got="inference mode",
            do="Leave it out: adapt and predict keep no graph as it is.",
        )
    if (support is None or len(support) == 0) and learner.needs_support:
        raise no_support(learner)
    if (support is None) == (target is None):
        raise ArgumentError(
            "target",
            expected="the kind of answer, since no support says it"
            if support is None
            else "nothing beside a support, which says it",
            got=repr(target),
            do="Give for example target=qs.targets.Labels(10)." if support is None else "Leave `target` out.",
        )
    if support is not None:
        check_finite("support", support)


def no_support(learner: Learner, argument: str = "support") -> TaskError:
    """The error of a learner that needs a support and has none."""
    return TaskError(
        argument,
        expected="at least one example",
        got="none",
        do=f"{type(learner).__name__} learns from examples: give it one for each class. To answer without a support, as the "
        "start of a descent can: learners.generalise.WithoutSupport(learner).",
    )


def inputs_of(x: Any, argument: str, learner: Learner, state: Any = None) -> Any:
    """x as the learner takes it: tensors as they are, anything else as tensors in the dtype of the learner, or of its state."""
    if isinstance(x, Tensor):
        return x
    own = (*learner.parameters(), *learner.buffers(), *(leaf for leaf in pytree.tree_leaves(state) if isinstance(leaf, Tensor)))
    return as_inputs(x, argument, dtype=next((one.dtype for one in own if one.is_floating_point()), None))


DTYPE_TROUBLE = ("same dtype", "should be the same", "expected scalar type", "common dtype", "Expected tensor for argument")
SHAPE_TROUBLE = ("shapes cannot be multiplied", "Expected 3D", "to have", "must match", "size mismatch", "to match target")


@contextmanager
def shapes_explained(argument: str, x: Any) -> Iterator[None]:
    """Turn torch's error about shapes or dtypes within a network into one about the input `x`.

    Raises:
        ShapeError: x has a shape that the network does not take.
        ArgumentError: x has a dtype that it does not take.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if isinstance(error, QuickstudyError) or not any(words in str(error) for words in DTYPE_TROUBLE + SHAPE_TROUBLE):
            raise
        if any(words in str(error) for words in DTYPE_TROUBLE):
            raise _of_other_dtype(argument, x, error) from error
        shapes = [tuple(leaf.shape) for leaf in pytree.tree_leaves(x)]
        raise ShapeError(
            argument,
            expected="examples of the shape that the learner's networks take",
            got=f"{shapes[0] if len(shapes) == 1 else shapes!s}, of which torch says: {' '.join(str(error).split())[:160]}",
            do="Bring them to the size and channels that it was trained on: a run's preprocessing.json says which.",
        ) from error


def _of_other_dtype(argument: str, x: Any, error: Exception) -> ArgumentError:
    dtypes = ", ".join(dict.fromkeys(str(leaf.dtype) for leaf in pytree.tree_leaves(x)))
    return ArgumentError(
        argument,
        expected="tensors of the dtype that the learner computes in",
        got=f"{dtypes}, of which torch says: {' '.join(str(error).split())[:160]}",
        do="Convert the tensor, as in x.float(), or the learner, as in learner.double().",
    )


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
    """The tensor itself, or a copy if it is a parameter of the learner (after 0 inner steps), which further training changes."""
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
