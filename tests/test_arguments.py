"""Arguments are checked where they come in: the rules by their own cases, and every public signature by values that cannot be."""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Sequence
from typing import Annotated, Literal, get_args, get_origin

import numpy as np
import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy.arguments import PositiveFloat, PositiveInt, Probability, Range, checked, types_of, union_parts
from quickstudy.errors import ArgumentError, QuickstudyError, UnsupportedError
from quickstudy.learners.wrap import Standardised
from tests.docs.test_doctests import public

# ---- the rules -----------------------------------------------------------------------------------------------------------


@checked
def asked(
    steps: PositiveInt,
    rate: PositiveFloat | None = 0.1,
    how: Literal["best", "first"] | None = None,
    weights: Sequence[PositiveFloat] | None = None,
    p: Probability = 0.5,
    flag: bool = False,
    learner: qs.Learner | None = None,
    anything=None,
) -> tuple:
    return steps, rate, how, weights, p, flag


@pytest.mark.parametrize(
    "arguments",
    [
        {"steps": 1},
        {"steps": np.int64(3), "rate": 1, "how": "first", "weights": [1, 0.5], "p": 0, "flag": True},
        {"steps": 2, "rate": None, "weights": (), "p": 1.0, "anything": object()},
        {"steps": 2, "rate": np.float32(0.5), "learner": qs.NearestCentroid()},
        {"steps": 2, "rate": torch.tensor(-1.0)},  # a number of phi is not judged
    ],
)
def test_what_is_declared_passes(arguments):
    assert asked(**arguments)[0] == arguments["steps"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"steps": 0}, ArgumentError, r"`steps`: expected 1 or more, got 0\. Give such a value\."),
        ({"steps": True}, ArgumentError, r"`steps`: expected a whole number of 1 or more, got True"),
        ({"steps": 1.0}, ArgumentError, r"`steps`: expected a whole number of 1 or more, got 1\.0"),
        ({"steps": "3"}, ArgumentError, r"`steps`: expected a whole number of 1 or more, got '3'"),
        ({"rate": 0.0}, ArgumentError, r"`rate`: expected a number above 0, got 0\.0\. 0\.1 is the default\."),
        ({"rate": math.nan}, ArgumentError, r"`rate`: expected a finite number above 0, got nan"),
        ({"rate": math.inf}, ArgumentError, r"`rate`: expected a finite number above 0, got inf"),
        ({"how": "worst"}, ArgumentError, r"`how`: expected one of 'best', 'first', got 'worst'"),
        (
            {"weights": [1.0, -1.0]},
            ArgumentError,
            r"`weights`: expected several, each a number above 0, got \[1",
        ),
        ({"p": 1.1}, ArgumentError, r"`p`: expected a number from 0 to 1, got 1\.1\. 0\.5 is the default"),
        ({"flag": 1}, ArgumentError, r"`flag`: expected True or False, got 1\. False is the default"),
        (
            {"learner": nn.Linear(1, 1)},
            UnsupportedError,
            r"`learner`: expected an object of the class Learner, got Lin",
        ),
        (
            {"learner": qs.MAML},
            UnsupportedError,
            r"`learner`: expected an object of the class Learner, got <fun",
        ),
        ({"learner": qs.NearestCentroid}, UnsupportedError, r"got the class NearestCentroid"),
    ],
)
def test_what_is_not_is_refused_by_name(arguments, error, message):
    with pytest.raises(error, match=message):
        asked(**{"steps": 1, **arguments})


def test_a_call_that_python_refuses_is_pythons():
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'steps'"):
        asked()
    with pytest.raises(TypeError, match="unexpected keyword argument 'stepps'"):
        asked(stepps=3)


# ---- the public signatures -----------------------------------------------------------------------------------------------

WRONG = {int: ("3", 1.5, math.nan), float: ("0.1", math.nan, math.inf), bool: ("yes", 2), str: ()}
PUBLIC = {where: value for where, value in public().items() if not typing.is_typeddict(value)}
OPEN = (
    "targets.",
    "forward.",
    "testing.",
    "sklearn.",
    "select.",
    "Examples",
    "Predictor",
    "Run",
    "InnerProblem",
    "State",
    "Outcome",
)
RESULTS = (
    "Evaluation",
    "Score",
    "Calibration",
    "Reliability",
    "TrainingResult",
    "Search",
    "Recommendation",
    "Table",
    "Items",
    "Wrapper",
)


def cases():
    """Every public argument of a plain type, or of a class, with a value that it cannot be."""
    for where, value in PUBLIC.items():
        name = where.removeprefix("quickstudy.")
        if any(part in name for part in OPEN) or name.rpartition(".")[2] in RESULTS:
            continue
        function = inspect.unwrap(value.__init__ if isinstance(value, type) else value)
        for argument, kind in types_of(function).items():
            parts = union_parts(kind)
            plain = [get_args(one)[0] if get_origin(one) is Annotated else one for one in parts]
            if (
                argument == "return"
                or not all(one in (*WRONG, type(None)) or get_origin(one) is Literal for one in plain)
                or str in plain
            ):
                continue
            bad = [one for base in plain for one in WRONG.get(base, ("no such",))]
            bad = [one for one in bad if not (float in plain and one == 1.5)]
            bounds = [get_args(one)[1] for one in parts if get_origin(one) is Annotated]
            bad += [bound.low - 1 for bound in bounds if isinstance(bound, Range) and bound.low > -math.inf]
            yield from ((where, argument, one) for one in dict.fromkeys(map(repr, bad)))


CASES = list(cases())


def test_there_are_many():
    assert len({case[:2] for case in CASES}) > 250


@pytest.mark.wrong_types
@pytest.mark.parametrize("where", sorted({case[0] for case in CASES}))
def test_every_public_argument_refuses_what_it_cannot_be(where):
    """Before anything else is looked at: no other argument is given."""
    for _, argument, bad in (case for case in CASES if case[0] == where):
        value = eval(bad, {"nan": math.nan, "inf": math.inf})
        with pytest.raises(QuickstudyError) as caught:
            PUBLIC[where](**{argument: value})
        assert caught.value.argument == argument, f"{argument}={bad}"


# ---- what was accepted once ----------------------------------------------------------------------------------------------


def net():
    return nn.Linear(4, 3)


TASKS = qs.tasks.GaussianClasses(ways=3, dim=4)
TRAIN = {"steps": 1, "tasks_per_step": 1, "progress": False}
NONSENSE = {
    "clip": lambda: qs.MAML(net(), clip=-1.0),
    "proximal_weight": lambda: qs.IMAML(net(), proximal_weight=-5.0),
    "steps of CG": lambda: qs.linear_solvers.ConjugateGradient(steps=-1),
    "terms": lambda: qs.linear_solvers.Neumann(terms=0),
    "inner_lr": lambda: qs.MAML(net(), inner_lr=math.inf),
    "per": lambda: qs.learners.descend.LearnedRates(0.1, per="layer"),
    "step_weights": lambda: qs.MAML(net(), step_weights=(-1.0, 2.0)),
    "hypergradient": lambda: qs.MAML(net(), hypergradient="first_order"),
    "steps of evaluate": lambda: qs.evaluate(qs.MAML(net()), TASKS.test, 2, steps=-1),
    "seconds": lambda: qs.meta_train(qs.MAML(net()), TASKS, seconds=math.nan, **TRAIN),
    "patience": lambda: qs.meta_train(qs.MAML(net()), TASKS.train, patience=2, **TRAIN),
    "chunk": lambda: qs.meta_gradient(qs.MAML(net()), TASKS.train.sample(2), chunk=-1),
    "validation_episodes": lambda: qs.meta_train(qs.MAML(net()), TASKS, validation_episodes=1, **TRAIN),
    "a pattern that matches nothing": lambda: qs.MAML(net(), adapts=("weight", "head.*")),
    "normalisation": lambda: setattr(qs.Ensemble(qs.Prototypical(net()), 2), "normalisation", "transductive"),
    "normalisation of another wrapper": lambda: setattr(Standardised(qs.MAML(net())), "normalisation", "running"),
    "an outer method": lambda: qs.meta_train(qs.MAML(net()), TASKS, outer=qs.Evolution(), **TRAIN),
    "a family": lambda: qs.evaluate(qs.MAML(net()), TASKS),
    "a module": lambda: qs.meta_train(net(), TASKS, **TRAIN),
    "a class": lambda: qs.meta_train(qs.MAML, TASKS, **TRAIN),
}


@pytest.mark.wrong_types
@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused(name):
    with pytest.raises((ArgumentError, UnsupportedError)) as caught:
        NONSENSE[name]()
    assert caught.value.do


@pytest.mark.parametrize("executor", ["compiled", qs.meta.executors.Compiled()], ids=["name", "object"])
def test_a_score_says_which_executor_it_came_by(executor):
    """Compiled code is for gradients: `evaluate` runs vmap for it."""
    assert qs.evaluate(qs.Prototypical(net()), TASKS.test, 2, executor=executor).protocol["executor"] == "vmap"


def test_a_norm_without_momentum_averages_all_batches_as_torch_does():
    """Its running mean is the mean over the meta-steps of what each saw. The control: momentum 0.1."""

    def running_means(momentum):
        torch.manual_seed(0)
        norm, means = nn.BatchNorm1d(4, momentum=momentum), []
        learner = qs.Prototypical(nn.Sequential(norm), normalisation="running")
        track = lambda record, step: means.append(norm.running_mean.clone())
        qs.meta_train(learner, TASKS.train, steps=3, tasks_per_step=2, executor="loop", progress=False, track=track)
        assert norm.num_batches_tracked == 3
        return means

    first, second, last = running_means(None)
    torch.testing.assert_close(last, torch.stack([first, 2 * second - first, 3 * last - 2 * second]).mean(0))
    control = running_means(0.1)
    torch.testing.assert_close(control[0], 0.1 * first)
    assert not torch.allclose(control[-1], last)
