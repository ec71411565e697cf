"""diagnose: which estimator of the meta-gradient to choose, and why the learner works.

For batches r of tasks, g_r an estimator's gradient and G_r the exact one on the same batch:

    bias      =  || mean_r (g_r - G_r) ||           / || mean_r G_r ||                                           (1)
    variance  =  mean_r || g_r - mean g ||^2        / || mean_r G_r ||^2                                         (2)
    error(n)  =  sqrt( bias^2 + variance / n ),     n = budget / seconds                                         (3)

(3) is the relative error after averaging for a fixed time; choose the estimator with the least error. For a learner that adapts:
how far each layer moves, and how similar its features stay (CKA), which distinguishes feature reuse from rapid learning.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, Several, checked
from quickstudy.diagnostics.cka import cka
from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError, QuickstudyError, UnsupportedError
from quickstudy.evaluation.evaluate import display_name
from quickstudy.forward.context import Context
from quickstudy.learners.bilevel.training_run import TrainingRun
from quickstudy.learners.descend.descent import Descent
from quickstudy.learners.descend.hypergradient import FirstOrder, Hypergradient, Truncated, Unrolled
from quickstudy.learners.descend.implicit import Implicit
from quickstudy.learners.learner import Learner
from quickstudy.linear_solvers import Identity
from quickstudy.meta.carried import CarriedRuns, carries
from quickstudy.meta.estimator import Estimator
from quickstudy.meta.estimators.backprop import Backprop
from quickstudy.meta.estimators.evolution import Evolution, PersistentEvolution
from quickstudy.meta.estimators.fixed_point import FixedPoint
from quickstudy.meta.estimators.forward_mode import ForwardMode
from quickstudy.meta.estimators.score_function import ScoreFunction
from quickstudy.meta.executors import Executor, Loop, Vmap, executor_named
from quickstudy.meta.executors.auto import difference_from_loop
from quickstudy.meta.gradient import episode_seeds, in_chunks
from quickstudy.meta.problem import Problem
from quickstudy.models.choice import choices
from quickstudy.tasks import TaskDistribution, TaskFamily

BUDGET = 100  # exact gradients: the time over which (3) averages
ALIKE = 0.9  # CKA from which features count as reused


@dataclass(frozen=True)
class EstimatorRow:
    """One estimator: bias (1) with its own standard error, variance (2), seconds for a batch, error (3), mean cosine with G."""

    name: str
    bias: float
    bias_error: float
    variance: float
    seconds: float
    error: float
    cosine: float


@dataclass(frozen=True)
class LayerRow:
    """One layer: || theta_K - theta_0 || / || theta_0 ||, and the CKA of its features before and after adaptation."""

    name: str
    moved: float
    cka: float


@dataclass(frozen=True)
class Diagnosis:
    """The result of `diagnose`. `refused` says why each of the other estimators does not work for the learner."""

    learner: str
    estimators: tuple[EstimatorRow, ...]
    layers: tuple[LayerRow, ...]
    refused: dict[str, str]

    @property
    def choose(self) -> str:
        """The estimator with the least error (3)."""
        return min(self.estimators, key=lambda row: row.error).name

    @property
    def conclusion(self) -> str | None:
        """Feature reuse if every layer below the last keeps its features, else rapid learning; None if there is no such layer."""
        body = [row.cka for row in self.layers[:-1] if not math.isnan(row.cka)]
        return None if not body else "feature reuse" if min(body) >= ALIKE else "rapid learning"

    def __str__(self) -> str:
        lines = [self.learner, f"{'estimator':28}{'bias':>16}{'variance':>11}{'cosine':>8}{'ms':>9}{'error':>8}"]
        for row in self.estimators:
            mark = "  <- choose" if row.name == self.choose else ""
            bias = f"{row.bias:.3f} +- {row.bias_error:.3f}"
            lines.append(
                f"{row.name:28}{bias:>16}{row.variance:>11.3g}{row.cosine:>8.2f}{1000 * row.seconds:>9.1f}{row.error:>8.3f}{mark}"
            )
        lines += [f"{name:28}{'refused':>16}: {why}" for name, why in self.refused.items()]
        if self.layers:
            lines.append(f"{'layer':28}{'moved':>16}{'CKA':>11}")
            lines += [f"{row.name:28}{row.moved:>16.3f}{row.cka:>11.3f}" for row in self.layers]
            lines.append(f"This looks like {self.conclusion}." if self.conclusion else "There is one layer only.")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """As a dict for JSON."""
        found = {"learner": self.learner, "choose": self.choose, "conclusion": self.conclusion, "refused": self.refused}
        return {**found, "estimators": [asdict(row) for row in self.estimators], "layers": [asdict(row) for row in self.layers]}

    def plot(self, path: str | Path | None = None) -> Any:
        """The table as a picture (matplotlib's Figure), saved to `path` if given."""
        from matplotlib.figure import Figure

        panels = 2 if self.layers else 1
        figure = Figure(figsize=(5.5 * panels, 3.8), layout="constrained")
        axes = figure.subplots(1, panels, squeeze=False)[0]
        for row in self.estimators:
            x, y = max(row.seconds * 1000, 1e-3), max(row.error, 1e-4)
            axes[0].scatter(x, y, marker="*" if row.name == self.choose else "o", s=90 if row.name == self.choose else 35)
            axes[0].annotate(row.name, (x, y), xytext=(4, 4), textcoords="offset points", fontsize=8)
        axes[0].set(xscale="log", yscale="log", xlabel="ms a batch", ylabel="relative error at equal time", title=self.learner)
        if self.layers:
            place = range(len(self.layers))
            axes[1].bar([i - 0.2 for i in place], [row.moved for row in self.layers], 0.4, label="moved")
            axes[1].bar([i + 0.2 for i in place], [row.cka for row in self.layers], 0.4, label="CKA")
            axes[1].set_xticks(list(place), [row.name for row in self.layers], rotation=45, ha="right", fontsize=8)
            axes[1].legend()
            axes[1].set_title(self.conclusion or "")
        if path is not None:
            figure.savefig(path)
        return figure


@checked
def diagnose(
    learner: Learner,
    tasks: TaskFamily | TaskDistribution,
    *,
    batches: Several = 8,
    tasks_per_batch: PositiveInt = 4,
    estimators: Mapping[str, Estimator | Hypergradient] | None = None,
    executor: str | Executor = "auto",
    seed: int = 0,
) -> Diagnosis:
    """Bias, variance and cost of every estimator that works for the learner, against the exact gradient; what adaptation moves.

    Args:
        tasks: a family (its `.train`) or a distribution; for a training run a stream, which measures every estimator over whole
            runs at fixed phi.
        batches: number of batches r, 2 or more.
        tasks_per_batch: tasks in each batch.
        estimators: estimators by name: an `Estimator`, or a hypergradient if the learner descends. None: all that may work.
        executor: "loop" or "vmap"; "auto": vmap if it works and its gradient of two tasks equals the loop's, else the loop.
        seed: seed of the tasks and of all draws.

    Raises:
        ArgumentError: fewer than 2 batches; no estimator works.
        UnsupportedError: a learner without meta-parameters.
    """
    if not learner.meta_learns or not any(parameter.requires_grad for parameter in learner.parameters()):
        raise UnsupportedError(
            "learner", expected="one with meta-parameters", got=type(learner).__name__, do="There is no gradient to estimate."
        )
    train = tasks.train if isinstance(tasks, TaskFamily) else tasks
    exact = _with(learner, Unrolled()) if isinstance(learner, Descent) else learner
    over_runs = carries(learner, train)
    served = _executor(executor, exact, None if over_runs else train, seed)
    source: Callable[..., tuple[Tensor, float]] = _over_runs if over_runs else _over_batches
    shape = (train, batches, tasks_per_batch, seed, served)
    truth, seconds = source(exact, None, *shape)
    G = truth.mean(0)
    rows, refused = [], {}
    for name, estimator in (estimators or _candidates(learner, train)).items():
        judged, what = (_with(learner, estimator), Backprop()) if isinstance(estimator, Hypergradient) else (exact, estimator)
        try:
            what.check(judged)
            found, took = source(judged, what, *shape)
        except QuickstudyError as error:
            refused[name] = str(error)
            continue
        rows.append(_row(name, found, truth, G, took, BUDGET * seconds))
    if not rows:
        raise ArgumentError("estimators", expected="one that serves", got=str(refused), do="Leave it out to try all.")
    layers = () if over_runs else _layers(learner, train, tasks_per_batch, seed)
    return Diagnosis(display_name(learner), tuple(rows), layers, refused)


def _row(name: str, found: Tensor, truth: Tensor, G: Tensor, seconds: float, budget: float) -> EstimatorRow:
    length = G.norm().clamp_min(1e-300)
    apart = found - truth
    bias = float(apart.mean(0).norm() / length)  # (1)
    noise = float((apart - apart.mean(0)).square().sum(1).mean().sqrt() / length) / math.sqrt(max(len(found) - 1, 1))
    variance = float((found - found.mean(0)).square().sum(1).sum() / (len(found) - 1) / length**2)  # (2)
    systematic = math.sqrt(max(bias**2 - noise**2, 0.0))  # what sampling alone does not explain
    error = math.sqrt(systematic**2 + variance * seconds / budget)  # (3)
    cosine = float(torch.nn.functional.cosine_similarity(found, G[None]).mean())
    return EstimatorRow(name, bias, noise, variance, seconds, error, cosine)


def _candidates(learner: Learner, tasks: TaskDistribution) -> dict[str, Estimator | Hypergradient]:
    """Every estimator that may work; `check` refuses those that do not."""
    found: dict[str, Estimator | Hypergradient] = {}
    if isinstance(learner, Descent):
        found |= {"Unrolled": Unrolled(), "FirstOrder": FirstOrder()}
        if learner.inner_steps > 1:
            found[f"Truncated({learner.inner_steps // 2})"] = Truncated(learner.inner_steps // 2)
        if learner.proximal:
            found |= {"Implicit": Implicit(), "Implicit, identity": Implicit(Identity())}
    else:
        found["Backprop"] = Backprop()
    found["Evolution"] = Evolution(64, ranks=False)
    if isinstance(learner, TrainingRun):
        found |= {"PersistentEvolution": PersistentEvolution(64), "FixedPoint": FixedPoint(), "ForwardMode": ForwardMode()}
    if choices(learner):
        found["ScoreFunction"] = ScoreFunction()
    return found


# ---- gradients ---------------------------------------------------------------------------------------------------------


def _over_batches(
    learner: Learner, estimator: Estimator | None, tasks: TaskDistribution, n: int, size: int, seed: int, executor: Executor
) -> tuple[Tensor, float]:
    """(batches, parameters) gradients, and seconds for one."""
    problem, generator, rows, seconds = Problem(learner, estimator or Backprop()), torch.Generator().manual_seed(seed), [], []
    for _ in range(n):
        episodes = tasks.sample(size, generator=generator)
        seeds = episode_seeds(size, generator, problem)
        began = time.perf_counter()
        rows.append(_flat(in_chunks(executor, problem, episodes, seeds, None).gradient))
        seconds.append(time.perf_counter() - began)
    return torch.stack(rows), min(seconds)


def _over_runs(
    learner: TrainingRun, estimator: Estimator | None, tasks: Any, n: int, size: int, seed: int, executor: Executor
) -> tuple[Tensor, float]:
    """The same over whole runs at fixed phi; None: the exact one, whose window is the whole run."""
    windows, rows, seconds = max(learner.steps // tasks.window, 1), [], []
    for r in range(n):
        problem = Problem(learner, estimator or Backprop())
        runs = CarriedRuns(problem.estimator, learner, tasks, size, seed + 7919 * r)
        generator = torch.Generator().manual_seed(seed + r)
        began = time.perf_counter()
        if estimator is None:
            first = runs.draw(generator)
            parts = [first.episode, *(runs.draw(generator).episode for _ in range(windows - 1))]
            whole = torch.utils._pytree.tree_map(lambda *leaves: torch.cat(leaves, 1), *parts)
            answers = [in_chunks(executor, problem, first._replace(episode=whole), _seeds(size, r, 0), None)]
        else:
            answers = []
            for w in range(windows):
                answers.append(runs.take(in_chunks(executor, problem, runs.draw(generator), _seeds(size, r, w), None)))
        seconds.append(time.perf_counter() - began)
        rows.append(torch.stack([_flat(answer.gradient) for answer in answers]).mean(0))
    return torch.stack(rows), min(seconds)


def _seeds(size: int, r: int, window: int) -> Tensor:
    return torch.arange(size) + 1009 * r + 101 * window


def _flat(gradient: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([one.detach().reshape(-1) for one in gradient.values()]).double().cpu()


def _with(learner: Learner, hypergradient: Hypergradient) -> Learner:
    other = copy.deepcopy(learner)
    other.hypergradient = hypergradient  # type: ignore[assignment]
    return other


def _executor(executor: str | Executor, learner: Learner, tasks: TaskDistribution | None, seed: int) -> Executor:
    if isinstance(executor, Executor):
        return executor
    if executor not in ("auto", "loop", "vmap"):
        raise ArgumentError("executor", expected="'auto', 'loop' or 'vmap'", got=repr(executor), do="Leave it out.")
    if executor != "auto":
        return executor_named(executor, Problem(learner, Backprop()))
    problem = Problem(learner, Backprop())
    reason = Vmap().refusal(problem)
    if reason is None and tasks is not None:
        reason = difference_from_loop(problem, Vmap(), tasks.sample(2, generator=torch.Generator().manual_seed(seed)))
    return Vmap() if reason is None else Loop()


# ---- layers ------------------------------------------------------------------------------------------------------------


def _layers(learner: Learner, tasks: TaskDistribution, n: int, seed: int) -> tuple[LayerRow, ...]:
    """How far each layer of an adapting network moves, and its CKA before and after; the mean over n tasks."""
    if not learner.adapts_parameters or not hasattr(learner, "inner_steps"):
        return ()
    watched = copy.deepcopy(learner).requires_grad_(False)
    episodes = tasks.sample(n, generator=torch.Generator().manual_seed(seed + 1))
    rows: dict[str, list[tuple[float, float]]] = {}
    for t in range(n):
        episode = episodes[t]
        with torch.no_grad():
            before, after = (watched.copied().state(episode.support, Context(), steps) for steps in (0, None))
            features = [_features(watched, state, episode) for state in (before, after)]
        theta = [watched.adapted(state) or {} for state in (before, after)]
        for name, old in features[0].items():
            keys = [key for key in theta[0] if key.rpartition(".")[0] == name]
            if not keys:
                continue
            length = sum(float(theta[0][key].square().sum()) for key in keys) ** 0.5
            moved = sum(float((theta[1][key] - theta[0][key]).square().sum()) for key in keys) ** 0.5
            rows.setdefault(name, []).append((moved / max(length, 1e-12), float(cka(old, features[1][name]))))
    return tuple(
        LayerRow(name, sum(one for one, _ in found) / len(found), sum(one for _, one in found) / len(found))
        for name, found in rows.items()
    )


def _features(learner: Learner, state: Any, episode: Episode) -> dict[str, Tensor]:
    """The output of every layer that has parameters, on support and query together."""
    kept: dict[str, Tensor] = {}
    handles = [
        module.register_forward_hook(_keeping(kept, name))
        for name, module in learner.named_modules()
        if any(True for _ in module.parameters(recurse=False)) and not isinstance(module, nn.ParameterList)
    ]
    try:
        learner.copied().answer(state, _together(episode.support, episode.query), Context())
    finally:
        for handle in handles:
            handle.remove()
    return kept


def _keeping(kept: dict[str, Tensor], name: str) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            kept[name] = output

    return hook


def _together(support: Examples, query: Examples) -> Any:
    return torch.utils._pytree.tree_map(lambda a, b: torch.cat([a, b]), support.x, query.x)
