"""The laws that every learner obeys, to be run on one of your own.

    from quickstudy.testing import run_laws

    def test_mine():
        run_laws(Mine(network), episode)        # one episode of any task that it can learn

Each law is a function of its own too, `check_...(learner, episode)`. A broken one raises `BrokenLaw`, an AssertionError that
says what was compared, what came out and where to look. A law that does not apply (labels, for a learner of targets) passes.
"""

from __future__ import annotations

import copy
import inspect
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from quickstudy.episode import Episode, Examples, stack
from quickstudy.errors import CheckpointError, QuickstudyError
from quickstudy.learners.learner import Learner
from quickstudy.learners.predictor import Predictor
from quickstudy.meta.estimator import Backprop
from quickstudy.meta.executors import Threads, Vmap
from quickstudy.meta.executors.auto import difference_from_loop
from quickstudy.meta.gradient import meta_gradient
from quickstudy.meta.problem import Problem
from quickstudy.store import load

TOLERANCE = 1e-7  # relative, in float64: rounding after a few inner steps
SLOPE_TOLERANCE = 1e-4  # of a finite difference

Law = Callable[[Learner, Episode], None]


class BrokenLaw(AssertionError):
    """A learner breaks a law. `law` is its name."""

    def __init__(self, law: str, learner: Learner, found: str, do: str):
        self.law = law
        super().__init__(f"{type(learner).__name__} breaks the law `{law}`: {found}. {do}")


def run_laws(learner: Learner, episode: Episode) -> list[str]:
    """Run every law on copies of the learner; the names of the laws. The learner is left as it was.

    Args:
        learner: built, trained or not.
        episode: one task (no leading axis `tasks`) that it can learn: for a classifier at least 2 classes with 2 examples each.

    Raises:
        BrokenLaw: the first law that does not hold.
    """
    for law in LAWS:
        law(copy.deepcopy(learner), episode)
    return [law.__name__.removeprefix("check_") for law in LAWS]


# ---- what a learner gives ----------------------------------------------------------------------------------------------


def check_answer(learner: Learner, episode: Episode) -> None:
    """The answer has one row a query, and one column a class; `learner(support, x)` and a predictor give the same."""
    answer = learner.adapt(episode.support)(episode.query.x)
    ways = episode.support.ways
    shape = tuple(answer.shape[:1]) if ways is None else tuple(answer.shape)
    rows = len(episode.query)
    if shape[0] != rows or (ways is not None and (len(shape) != 2 or shape[1] < ways)):
        want = f"({rows}, {ways})" if ways is not None else f"({rows}, *target)"
        raise BrokenLaw(
            "answer",
            learner,
            f"it answers {rows} queries with a tensor of shape {tuple(answer.shape)}, not {want}",
            "Return one row for each query from `predict`.",
        )
    learner, episode = _double(learner, episode)
    answer = learner.adapt(episode.support)(episode.query.x)
    gap = _gap(learner(episode.support, episode.query.x).detach(), answer)
    if gap > TOLERANCE:
        raise BrokenLaw(
            "answer",
            learner,
            f"learner(support, x) and learner.adapt(support)(x) differ by {gap:.1e}",
            "Let both go through `learn` and `predict`.",
        )
    gap = _gap(learner.adapt(episode.support).to_module()(episode.query.x), answer)
    if gap > TOLERANCE:
        raise BrokenLaw(
            "answer",
            learner,
            f"predictor.to_module() and the predictor differ by {gap:.1e}",
            "Keep all that was learned in the state, and nothing outside it.",
        )


def check_state(learner: Learner, episode: Episode) -> None:
    """The state is a pytree of tensors without a graph, and holds everything: a predictor outlives the next task."""
    with torch.no_grad():
        state = learner.learn(episode.support)
    for leaf in pytree.tree_leaves(state):
        if not isinstance(leaf, Tensor):
            raise BrokenLaw(
                "state",
                learner,
                f"its state holds an object of type {type(leaf).__name__}",
                "Keep tensors only: what is fixed belongs to the learner, and vmap returns nothing else.",
            )
    predictor = learner.adapt(episode.support)
    if any(leaf.requires_grad for leaf in pytree.tree_leaves(predictor.state)):
        raise BrokenLaw("state", learner, "adapt returns a state that requires a gradient", "Let adapt cut it.")
    before = predictor(episode.query.x)
    learner.adapt(_scaled(episode.support, -3.0))
    if not torch.equal(predictor(episode.query.x), before):
        raise BrokenLaw(
            "state",
            learner,
            "a predictor answers otherwise after its learner has adapted to another task",
            "Return what `learn` finds in the state, and keep none of it on the learner.",
        )


def check_changes_nothing(learner: Learner, episode: Episode) -> None:
    """adapt, predict, the loss and its gradient leave parameters, buffers, gradients and train/eval flags as they were."""
    for training in (True, False):
        learner.train(training)
        before = _snapshot(learner)
        predictor = learner.adapt(episode.support)
        predictor(episode.query.x)
        with torch.enable_grad():
            learner.loss(episode)
        if _meta_learns(learner):
            meta_gradient(learner, [episode])
        for (name, one), (_, other) in zip(before, _snapshot(learner), strict=True):
            same = torch.equal(one, other) if isinstance(one, Tensor) else one == other
            if not same:
                raise BrokenLaw(
                    "changes_nothing",
                    learner,
                    f"{name} is not what it was before adapt, predict and loss",
                    "`learn` and `predict` are pure: keep what is learned in the state.",
                )


def check_determinism(learner: Learner, episode: Episode) -> None:
    """The same support gives the same answer, bit for bit, whatever torch's random state."""
    answers = []
    with torch.random.fork_rng(devices=[]):
        for seed in (0, 1):
            torch.manual_seed(seed)
            answers.append(learner.adapt(episode.support)(episode.query.x))
    if not torch.equal(*answers):
        raise BrokenLaw(
            "determinism",
            learner,
            f"two runs on one support differ by {_gap(*answers):.1e}",
            "Draw from a generator of your own with a fixed seed, made anew in `learn`.",
        )


# ---- symmetries --------------------------------------------------------------------------------------------------------


def check_order(learner: Learner, episode: Episode) -> None:
    """The order of the support set does not matter, where the learner declares it (`order_invariant`)."""
    if not learner.order_invariant:
        return
    learner, episode = _double(learner, episode)
    answer = learner.adapt(episode.support)(episode.query.x)
    order = torch.randperm(len(episode.support), generator=torch.Generator().manual_seed(1))
    for other in (order, order.flip(0)):
        gap = _gap(learner.adapt(_rows(episode.support, other.to(episode.support.y.device)))(episode.query.x), answer)
        if gap > TOLERANCE:
            raise BrokenLaw(
                "order",
                learner,
                f"another order of the support set changes the answer by {gap:.1e}",
                "Sum or average over examples; or declare `order_invariant = False`.",
            )


def check_labels(learner: Learner, episode: Episode) -> None:
    """Numbering the classes otherwise permutes the answer, where the learner declares it (`label_equivariant`)."""
    ways = episode.support.ways
    if ways is None or not learner.label_equivariant:
        return
    learner, episode = _double(learner, episode)
    support = episode.support
    renamed = torch.roll(torch.arange(ways, device=support.y.device), 1)
    answer = learner.adapt(support)(episode.query.x)
    other = learner.adapt(Examples(support.x, renamed[support.y], ways))(episode.query.x)
    gap = _gap(other[:, renamed], answer[:, :ways])
    if gap > TOLERANCE:
        raise BrokenLaw(
            "labels",
            learner,
            f"renumbering the classes does not permute the answer: it differs by {gap:.1e}",
            "Treat every class alike; or declare `label_equivariant = False`.",
        )


def check_transductive(learner: Learner, episode: Episode) -> None:
    """Queries answered one by one are answered as together, unless the policy says "transductive"."""
    if learner.normalisation != "transductive" and is_transductive(learner, episode):
        raise BrokenLaw(
            "transductive",
            learner,
            "queries answered one by one are not answered as together",
            "Its scores look at the whole query set: say normalisation='transductive', or let no query see another.",
        )


def is_transductive(learner: Learner, episode: Episode) -> bool:
    """Whether the answer to a query depends on which others are asked with it: what an accuracy must say beside its number."""
    learner, episode = _double(learner, episode)
    predictor = learner.adapt(episode.support)
    one_by_one = [predictor(_leaves(episode.query.x, lambda leaf: leaf[i : i + 1])) for i in range(len(episode.query))]  # noqa: B023
    return _gap(torch.cat(one_by_one), predictor(episode.query.x)) > TOLERANCE


# ---- sizes and precision -----------------------------------------------------------------------------------------------


def check_small_tasks(learner: Learner, episode: Episode) -> None:
    """1 shot, one class, one query, and no query at all."""
    ways, support, query = episode.support.ways, episode.support, episode.query
    cases = {"one query": (support, _rows(query, slice(0, 1)))}
    if learner.normalisation != "transductive":
        cases["no query"] = support, _rows(query, slice(0, 0))
    if ways is not None:
        first = torch.stack([(support.y == k).nonzero()[0, 0] for k in range(ways)])
        cases["1 shot"] = _rows(support, first), query
        cases["one class"] = _one_class(support), _one_class(query)
    else:
        cases["1 shot"] = _rows(support, slice(0, 1)), query
    for name, (learned, asked) in cases.items():
        do = "Look at variances and divisions over a single example."
        try:
            answer = learner.adapt(learned)(asked.x)
        except QuickstudyError as error:
            raise BrokenLaw("small_tasks", learner, f"it does not learn a task of {name}: {error}", do) from error
        if answer.shape[0] != len(asked) or not bool(torch.isfinite(answer).all()):
            found = f"a task of {name} gives a tensor of shape {tuple(answer.shape)}"
            raise BrokenLaw("small_tasks", learner, f"{found} for {len(asked)} queries, or NaN or infinity in it", do)


def check_float64(learner: Learner, episode: Episode) -> None:
    """In float64 it answers in float64, close to what it answers in float32."""
    learner, episode = _double(learner, episode)
    answer = learner.adapt(episode.support)(episode.query.x)
    if answer.dtype != torch.float64:
        raise BrokenLaw(
            "float64",
            learner,
            f"a learner and an episode in float64 give {answer.dtype}",
            "Make new tensors with the dtype of the inputs or parameters.",
        )
    fine = _leaves(episode.query.x, lambda leaf: leaf + 1e-10 if leaf.is_floating_point() else leaf)
    same = torch.equal(learner.adapt(episode.support)(fine), answer)
    floating = any(leaf.is_floating_point() for leaf in pytree.tree_leaves(episode.query.x))
    if same and floating and bool((answer != answer[:1]).any()):
        raise BrokenLaw(
            "float64",
            learner,
            "a change of 1e-10 in the queries does not reach the answer",
            "Somewhere on the way it is rounded to float32.",
        )


# ---- saving ------------------------------------------------------------------------------------------------------------


def check_save_and_load(learner: Learner, episode: Episode) -> None:
    """A learner, and an adapted predictor, read back from their folder answer bit for bit as they did.

    Networks and functions of your own are handed to `load` as copies with other weights. A learner whose class is not
    quickstudy's own cannot be read back by name; for it this law passes.
    """
    if not type(learner).__module__.startswith("quickstudy."):
        return
    predictor = learner.adapt(episode.support)
    answer = predictor(episode.query.x)
    foreign = _handed_in(learner)
    with tempfile.TemporaryDirectory() as folder:
        for name, one in (("learner", learner), ("predictor", predictor)):
            path = Path(folder) / name
            one.save(path)
            try:
                again = load(path, **copy.deepcopy(foreign))
            except CheckpointError as error:
                raise BrokenLaw(
                    "save_and_load",
                    learner,
                    f"the saved {name} does not load: {error}",
                    "What its arguments do not rebuild must be in its state_dict.",
                ) from error
            adapted = again if isinstance(again, Predictor) else again.adapt(episode.support)
            gap = _gap(adapted(episode.query.x), answer)
            if gap > 0:
                raise BrokenLaw(
                    "save_and_load",
                    learner,
                    f"the saved {name} answers otherwise when it is read back, by {gap:.1e}",
                    "Everything that it answers from is an argument, a parameter or a persistent buffer.",
                )


# ---- the gradient ------------------------------------------------------------------------------------------------------


def check_executors(learner: Learner, episode: Episode) -> None:
    """Threads and vmap give the loop's meta-gradient in float64, where they serve the learner at all."""
    if not _meta_learns(learner):
        return
    problem = Problem(learner, Backprop())
    episodes = stack([episode, Episode(_scaled(episode.support, 0.7), _scaled(episode.query, 1.2))])
    for executor in (Threads(2), Vmap()):
        difference = executor.refusal(problem) or difference_from_loop(problem, executor, episodes)
        if difference is not None and "differs from the loop" in difference:
            raise BrokenLaw(
                "executors",
                learner,
                f"with {executor.name} {difference}",
                "Keep no Python state between tasks, run networks under `network.call`, draw nothing at random, "
                "and close no autograd.Function over a tensor.",
            )


def check_gradient(learner: Learner, episode: Episode) -> None:
    """The meta-gradient is the slope of the loss, by central differences along a random direction of each parameter.

    For learners that declare it (`exact_gradient`): first order and its kin are no derivative of the loss.
    """
    if not _meta_learns(learner) or not learner.exact_gradient:
        return
    learner, episode = _double(learner, episode)
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
            raise BrokenLaw(
                "gradient",
                learner,
                f"along a direction of `{name}` the loss has the slope {differences:.6g} and its meta-gradient {slope:.6g}",
                "Look for a detach, a .data, a no_grad or an autograd.Function that closes over this parameter; "
                "or declare `exact_gradient = False`.",
            )


LAWS: tuple[Law, ...] = (
    check_answer,
    check_state,
    check_changes_nothing,
    check_determinism,
    check_order,
    check_labels,
    check_transductive,
    check_small_tasks,
    check_float64,
    check_save_and_load,
    check_executors,
    check_gradient,
)


# ---- what the laws share -----------------------------------------------------------------------------------------------


def _leaves(tree: Any, function: Callable[[Tensor], Tensor]) -> Any:
    return pytree.tree_map(function, tree)


def _double(learner: Learner, episode: Episode) -> tuple[Learner, Episode]:
    return copy.deepcopy(learner).double(), episode.map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf)


def _rows(examples: Examples, index: Any) -> Examples:
    return examples.map(lambda leaf: leaf[index])


def _one_class(examples: Examples) -> Examples:
    own = _rows(examples, examples.y == 0)
    return Examples(own.x, own.y, 1)


def _scaled(examples: Examples, factor: float) -> Examples:
    """The same examples with other inputs."""
    x = _leaves(examples.x, lambda leaf: leaf * factor if leaf.is_floating_point() else leaf)
    return Examples(x, examples.y, examples.ways)


def _gap(a: Tensor, b: Tensor) -> float:
    """The largest difference, relative to b's largest entry; infinite where the shapes or a NaN differ."""
    if a.shape != b.shape or not torch.equal(a.isnan(), b.isnan()):
        return float("inf")
    if not a.numel():
        return 0.0
    return float((a - b).nan_to_num().abs().max()) / max(float(b.nan_to_num().abs().max()), 1e-12)


def _snapshot(learner: Learner) -> list[tuple[str, Any]]:
    tensors = [*learner.named_parameters(), *learner.named_buffers()]
    return [
        *((f"`{name}`", tensor.detach().clone()) for name, tensor in tensors),
        *((f"the gradient of `{name}`", None if p.grad is None else p.grad.clone()) for name, p in learner.named_parameters()),
        *((f"the train/eval flag of `{name}`", module.training) for name, module in learner.named_modules()),
    ]


def _meta_learns(learner: Learner) -> bool:
    return learner.meta_learns and any(parameter.requires_grad for parameter in learner.parameters())


def _handed_in(learner: Learner) -> dict[str, Any]:
    """What `load` is handed for a learner, and for a learner that it was built with."""
    parts: dict[str, Any] = {}
    for name, value in learner.arguments.items():
        if isinstance(value, Learner):
            parts |= _handed_in(value)
        elif _foreign(value):
            parts[name] = _another(value)
    return parts


def _foreign(value: Any) -> bool:
    """Whether `load` needs to be handed this argument."""
    if isinstance(value, nn.Module):
        return not type(value).__module__.startswith("quickstudy.")
    return inspect.isroutine(value)


def _another(value: Any) -> Any:
    """The same network with other weights, or the function itself."""
    if not isinstance(value, nn.Module):
        return value
    other = copy.deepcopy(value)
    with torch.no_grad():
        for tensor in (*other.parameters(), *other.buffers()):
            tensor.zero_()
    return other
