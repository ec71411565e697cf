"""A thousand weight decays by the implicit gradient, beside grid search and Optuna on the same budget.

    python -m benchmarks.studies.hyperparameters                  what the JSON beside this does not hold yet
    python -m benchmarks.studies.hyperparameters --seeds 2 --force
    python -m benchmarks.studies.hyperparameters --budget 0.25    a quarter of the gradient evaluations
    python -m benchmarks.studies.hyperparameters --table          the table from the JSON

scikit-learn's digits, 200 to train on, 200 for validation, the other 1,397 for test, read once, at the end; a network 64-16-10
of tanh units, its training: TRIAL steps of heavy-ball descent on all training examples from the same initial weights.

grid         one decay, at logarithmic distances from 1e-5 to 1e-1; the best by validation
Optuna       one decay for each of the 4 tensors, TPE over the same range; the best by validation
implicit     1,210 decays, one for each weight, all from the middle of the range, descended along the implicit gradient of the
             validation loss (`FixedPoint`) while the student trains on; scored is the student of the search itself
..., anew    a training of TRIAL steps under the learned decays, from the initial weights
implicit, 4  likewise with one decay for each tensor: the control that can hardly fit the validation set

Two controls outside the budget, with the decay that grid search chose and the descent that the search's student has had, plain
and longer than a trial: `grid, longer` says what the descent does, `grid, both` has the validation images among its training
images, and says what 1,210 decays can at most have learned from them.

The budget is BUDGET gradient evaluations on the training set, training anew included: a step is 1, a Hessian product of the
conjugate gradient is 2, the outer derivative 3. Intervals are 95 % over seeds (split, initial weights, search), by Student's t,
of paired differences to grid search. The gap, test less validation, is what was fitted to the validation set.

The last row: on logistic regression with a decay for each weight, in float64, the implicit gradient against the unrolled one at
the fixed point (tests/exact/test_hyperparameters.py holds it to 1e-5 on a smaller problem).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import quickstudy as qs
from benchmarks.reproduction.reproduce import hardware
from benchmarks.studies.study import Result, cell, command, interval, read, write
from quickstudy.learners.bilevel import WeightDecay
from quickstudy.learners.descend import SGD, Momentum
from quickstudy.linear_solvers import ConjugateGradient, Neumann
from quickstudy.meta.estimators import FixedPoint
from quickstudy.meta.loop.state import MetaTraining
from quickstudy.tasks import TaskDistribution

RESULTS = Path(__file__).resolve().parent / "hyperparameters.json"
EACH, TRIAL, TRIALS, LOW, HIGH = 200, 300, 10, 1e-5, 1e-1
BUDGET = TRIAL * TRIALS
WINDOW, PRODUCTS, RATE = 20, 10, 0.05
MIDDLE = (LOW * HIGH) ** 0.5
PLAIN = SGD(), 0.5
METHODS = ("grid", "Optuna", "implicit", "implicit, anew", "implicit, 4", "implicit, 4, anew")
CONTROLS = ("grid, longer", "grid, both")


class Whole(TaskDistribution):
    """A stream whose every batch is the whole training set, every held-out batch the whole validation set."""

    def __init__(self, train: qs.Examples, validation: qs.Examples, window: int):
        self.train, self.held, self.window = train, validation, window
        self.ways, self.shots, self.queries = train.ways, len(train), len(validation)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> qs.Episode:
        spread = lambda examples: examples.map(lambda leaf: leaf.expand(n, self.window, *leaf.shape))  # noqa: E731
        return qs.Episode(spread(self.train), spread(self.held))

    def examples(self) -> qs.Examples:
        return self.train

    def to(self, device: str | torch.device) -> Whole:
        train, held = (part.map(lambda leaf: leaf.to(device)) for part in (self.train, self.held))
        return Whole(train, held, self.window)

    def check_protocol(self) -> None:
        """Any protocol serves."""


def data(seed: int) -> tuple[qs.Examples, qs.Examples, qs.Examples]:
    """Training, validation and test examples, each of its own."""
    x, y = load_digits(return_X_y=True)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    X, Y = torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y)
    X = X - X[order[:EACH]].mean()
    return tuple(qs.Examples(X[rows], Y[rows], 10) for rows in order.split([EACH, EACH, len(x) - 2 * EACH]))  # type: ignore[return-value]


def learner(decay: WeightDecay, rule: Any = Momentum(0.9), inner_lr: float = 0.2) -> qs.LearnedTraining:
    """The training whose decays are sought; it never begins anew within a search."""
    network = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))
    return qs.LearnedTraining(network, steps=10**9, rule=rule, inner_lr=inner_lr, decay=decay)


def trained(run: qs.LearnedTraining, train: qs.Examples, seed: int, steps: int = TRIAL) -> Any:
    """So many steps from this seed's initial weights."""
    with torch.no_grad():
        state = run.init(None, seed)
        for _ in range(steps):
            state = run.step(state, train)
    return state


def scores(run: qs.LearnedTraining, state: Any, parts: Any, spent: int, began: float) -> Result:
    """What is kept of a trained student and its decays."""
    with torch.no_grad():
        found = {
            name: float(run.objective(state, part)) for name, part in zip(("train", "validation", "test"), parts, strict=True)
        }
        found["accuracy"] = 100 * float((run.predict(state, parts[2].x).argmax(1) == parts[2].y).float().mean())
    assert run.decays is not None
    decays = torch.cat([part.detach().flatten() for part in run.decays.log_decay]).exp()
    return {
        **found,
        "decays": len(decays),
        "decays, 5 50 95 %": decays.quantile(torch.tensor([0.05, 0.5, 0.95])).tolist(),
        "evaluations": spent,
        "seconds": time.perf_counter() - began,
    }


def trial(values: list[float], parts: Any, seed: int) -> tuple[float, Any]:
    """The validation loss under one decay, or one for each tensor; and the training that reached it."""
    run = learner(WeightDecay(MIDDLE, per="network" if len(values) == 1 else "tensor"))
    assert run.decays is not None
    with torch.no_grad():
        for part, value in zip(run.decays.log_decay, values, strict=True):
            part.fill_(float(np.log(value)))
        state = trained(run, parts[0], seed)
        return float(run.objective(state, parts[1])), (run, state)


def grid(parts: Any, seed: int, budget: int) -> tuple[qs.LearnedTraining, Any, int]:
    tried = [trial([float(value)], parts, seed) for value in np.geomspace(LOW, HIGH, budget // TRIAL)]
    return *min(tried, key=lambda one: one[0])[1], len(tried) * TRIAL


def optuna(parts: Any, seed: int, budget: int) -> tuple[qs.LearnedTraining, Any, int]:
    import optuna as library

    library.logging.set_verbosity(library.logging.WARNING)
    study, kept = library.create_study(sampler=library.samplers.TPESampler(seed=seed)), []

    def objective(asked: Any) -> float:
        kept.append(trial([asked.suggest_float(f"decay {i}", LOW, HIGH, log=True) for i in range(4)], parts, seed))
        return kept[-1][0]

    study.optimize(objective, n_trials=budget // TRIAL)
    return *kept[study.best_trial.number][1], len(kept) * TRIAL


def implicit(per: Any, parts: Any, seed: int, budget: int) -> tuple[qs.LearnedTraining, Any, int]:
    """The decays and the student that they were learned beside."""
    window = WINDOW + 2 * PRODUCTS + 3
    steps = max((budget - TRIAL) // window, 1)
    run = learner(WeightDecay(MIDDLE, per=per), *PLAIN)  # whose I - J is symmetric, as conjugate gradient needs
    solver = ConjugateGradient(steps=PRODUCTS, at_negative="stop")
    outer = qs.Gradient(FixedPoint(solver), partial(torch.optim.Adam, lr=RATE))
    training = MetaTraining(run, Whole(parts[0], parts[1], WINDOW), outer, None, None, 1, None, None, seed)
    training.take_executor("loop", steps, None)
    for step in range(1, steps + 1):
        training.step(step)
    assert training.runs is not None
    assert training.runs.structure is not None
    state = pytree.tree_unflatten([leaf[0] for leaf in training.runs.leaves], training.runs.structure)
    return run, state, steps * window


def anew(run: qs.LearnedTraining, per: Any, parts: Any, seed: int) -> tuple[qs.LearnedTraining, Any]:
    """A training from the initial weights under decays that were learned."""
    other = learner(WeightDecay(MIDDLE, per=per))
    other.load_state_dict(run.state_dict())
    return other, trained(other, parts[0], seed)


SEARCHES: dict[str, Callable[[Any, int, int], tuple[qs.LearnedTraining, Any, int]]] = {
    "grid": grid, "Optuna": optuna, "implicit": partial(implicit, "element"), "implicit, 4": partial(implicit, "tensor")
}  # fmt: skip


def entry(seed: int, budget: int) -> Result:
    """One seed: every method on the same split, and a run begins from the same weights."""
    parts, started = data(seed), time.perf_counter()
    row: Result = {"budget": budget}
    for name, search in SEARCHES.items():
        began = time.perf_counter()
        run, state, spent = search(parts, seed, budget)
        row[name] = scores(run, state, parts, spent, began)
        if name.startswith("implicit"):
            per = "element" if name == "implicit" else "tensor"
            row[f"{name}, anew"] = scores(*anew(run, per, parts, seed), parts, spent + TRIAL, began)
        if name == "grid":
            chosen = run.state_dict()
    train, held, _ = parts
    both = qs.Examples(torch.cat([train.x, held.x]), torch.cat([train.y, held.y]), 10)
    longer = WINDOW * ((budget - TRIAL) // (WINDOW + 2 * PRODUCTS + 3))
    for name, examples in zip(CONTROLS, (train, both), strict=True):
        began = time.perf_counter()
        run = learner(WeightDecay(MIDDLE, per="network"), *PLAIN)
        run.load_state_dict(chosen)
        row[name] = scores(run, trained(run, examples, seed, longer), parts, longer, began)
    row["seconds"] = time.perf_counter() - started
    for name in (*METHODS, *CONTROLS):
        own = row[name]
        print(
            f"  seed {seed}: {name:<18}",
            {key: round(own[key], 4) for key in ("train", "validation", "test", "accuracy", "seconds")},
        )
    return row


def agreement(steps: int = 600, train: int = 150) -> Result:
    """The implicit gradient of 650 decays of a logistic regression on digits beside the unrolled one, in float64."""
    began = time.perf_counter()
    support, query, _ = (part.map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf) for part in data(0))
    support = support.map(lambda leaf: leaf[:train])
    run = qs.LearnedTraining(nn.Linear(64, 10), steps=steps, inner_lr=0.5, decay=WeightDecay(0.1, per="element")).double()
    episode = [qs.Episode(support, query)]
    (_, unrolled), (_, at_rest) = (
        qs.meta_gradient(run, episode, estimator=one) for one in (qs.Backprop(), FixedPoint(Neumann(terms=steps)))
    )
    run.steps = 5  # the control: not at rest
    (_, early), (_, wrong) = (
        qs.meta_gradient(run, episode, estimator=one) for one in (qs.Backprop(), FixedPoint(Neumann(terms=steps)))
    )
    return {
        "decays": sum(part.numel() for part in unrolled.values()),
        "steps": steps,
        "relative gap": gap(unrolled, at_rest),
        "relative gap after 5 steps": gap(early, wrong),
        "seconds": time.perf_counter() - began,
    }


def gap(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """The largest difference, in units of the largest number."""
    return max(float((a[name] - b[name]).abs().max()) for name in a) / max(float(one.abs().max()) for one in a.values())


# ---- the table -----------------------------------------------------------------------------------------------------------


def summary(seeds: dict[str, Result]) -> Result:
    """Means of every method, its gap, and its paired differences to grid search: [mean, half of the interval]."""
    found: Result = {"seeds": len(seeds)}
    for name in (*METHODS, *CONTROLS):
        own = {key: [row[name][key] for row in seeds.values()] for key in ("validation", "test", "accuracy", "seconds")}
        own["gap"] = [test - validation for test, validation in zip(own["test"], own["validation"], strict=True)]
        found[name] = {key: interval(values) for key, values in own.items()}
        for base in ("grid", "grid, longer"):
            for key in ("validation", "test", "accuracy") if name != base else ():
                pairs = zip(own[key], [row[base][key] for row in seeds.values()], strict=True)
                found[name][f"{key} less {base}"] = interval([a - b for a, b in pairs])
    return found


def page() -> str:
    """The table, from the JSON."""
    found = read(RESULTS)
    rows = [
        "Weight decays of a network on digits (`python -m benchmarks.studies.hyperparameters`), every method on the same number"
        " of gradient evaluations; differences to grid search are paired over seeds.",
        "",
        "| method | decays | validation loss | test loss | test accuracy, % | gap | validation less grid | test less grid"
        " | accuracy less grid | test less grid, longer | accuracy less grid, longer | seconds |",
        "|---" * 12 + "|",
    ]
    whole = found.get("summary", {})
    for name in (*METHODS, *CONTROLS):
        if name not in whole:
            rows.append(f"| {name} | | not run |" + " |" * 9)
            continue
        own, decays = whole[name], next(iter(found["entries"].values()))[name]["decays"]
        trained_on = name == "grid, both"  # the validation images
        cells = []
        for key in (
            "validation", "test", "accuracy", "gap", "validation less grid", "test less grid", "accuracy less grid",
            "test less grid, longer", "accuracy less grid, longer",
        ):  # fmt: skip
            form = ".1f" if key.startswith("accuracy") else ".3f"
            shown = key in own and not (trained_on and key in ("validation", "gap", "validation less grid"))
            cells.append(cell(own[key], form) if shown else "")
        rows.append(f"| {name} | {decays} | " + " | ".join(cells) + f" | {own['seconds'][0]:.0f} |")
    same = found.get("agreement")
    rows += [
        "",
        "| implicit against unrolled gradient, logistic regression, float64 | largest difference, relative |",
        "|---|---|",
    ]
    if same is None:
        rows.append("| at the fixed point (at most 1e-5) | not run |")
    else:
        rows += [
            f"| at the fixed point, {same['decays']} decays, {same['steps']} steps (at most 1e-5) | {same['relative gap']:.1e} |",
            f"| the control: after 5 steps, not at rest | {same['relative gap after 5 steps']:.1e} |",
        ]
    if "hardware" in found:
        rows += [
            "",
            f"{whole['seeds']} seeds, {found['budget']} evaluations each, {found['wall']:.0f} s of wall time in all;"
            f" {found['hardware']}, one thread, torch {found['torch']}, optuna {found['optuna']}.",
        ]
    return "\n".join(rows) + "\n"


def main() -> None:
    """The command; a seed that stands in the JSON with this budget is not run again."""
    import optuna as library

    options = command(__doc__).parse_args()
    torch.set_num_threads(1)
    budget = max(int(BUDGET * options.budget), 2 * TRIAL)
    for seed in range(0 if options.table else options.seeds):
        found = read(RESULTS)
        own = found.setdefault("entries", {})
        if own.get(str(seed), {}).get("budget") == budget and not options.force:
            continue
        own[str(seed)] = entry(seed, budget)
        wall = sum(row["seconds"] for row in own.values())
        write(RESULTS, found | {
            "hardware": hardware(), "torch": torch.__version__, "optuna": library.__version__, "budget": budget, "wall": wall,
            "summary": summary(own),
        })  # fmt: skip
    if not options.table and ("agreement" not in read(RESULTS) or options.force):
        write(RESULTS, read(RESULTS) | {"agreement": agreement()})
    print(page())


if __name__ == "__main__":
    main()
