"""Learners of one's own, and learners made of learners: what the registry and the wrapper hand on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy.errors import CheckpointError, UnsupportedError
from quickstudy.learners.solve import SVM
from quickstudy.learners.wrap import Standardised, Tables
from quickstudy.learners.wrap.wrapper import Wrapper
from quickstudy.registry import LEARNERS, qualified_name
from quickstudy.testing import run_checks
from tests.artifacts.vouched import rewritten

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

TASKS = qs.tasks.GaussianClasses(ways=3, dim=4, shots=2, queries=5)


class Weighed(qs.Learner):
    """Prototypes, with distances weighed by feature."""

    def __init__(self, embed, *widths, scale=1.0, **more):
        super().__init__(**more)
        self.embed, self.widths, self.scale = embed, widths, scale
        self.weights = nn.Parameter(torch.ones(2))

    def learn(self, support):
        member = nn.functional.one_hot(support.y, support.ways).to(self.weights.dtype)
        return {"prototypes": (member.T @ self.embed(support.x)) / member.sum(0)[:, None]}

    def predict(self, values, x):
        apart = (self.embed(x)[:, None] - values["prototypes"]) ** 2
        return -self.scale * (apart * self.weights).sum(-1)


def weighed():
    torch.manual_seed(0)
    learner = Weighed(nn.Linear(4, 2), 3, 4, scale=0.5, normalisation="transductive")
    with torch.no_grad():
        learner.weights.copy_(torch.tensor([0.3, 2.0]))
    return learner


def episode():
    return TASKS.test.sample(1, generator=torch.Generator().manual_seed(0))[0]


# ---- learners of one's own ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("handed", ["the class", "nothing, since it is defined", "a built one"])
def test_a_learner_of_ones_own_is_saved_and_loaded(handed, tmp_path):
    learner, task = weighed(), episode()
    learner.save(tmp_path / "l")
    predictor = learner.adapt(task.support)
    predictor.save(tmp_path / "p")
    given = {"the class": {"learner": Weighed}, "a built one": {"learner": Weighed(nn.Linear(4, 2))}}.get(handed, {})
    given["embed"] = nn.Linear(4, 2)
    again = qs.load(tmp_path / "l", **given)
    assert type(again) is Weighed
    if handed != "a built one":
        assert (again.widths, again.scale, again.normalisation) == ((3, 4), 0.5, "transductive")
        assert torch.equal(again.adapt(task.support)(task.query.x), predictor(task.query.x))
        assert torch.equal(qs.load(tmp_path / "p", **given)(task.query.x), predictor(task.query.x))
    assert torch.equal(again.weights, learner.weights)


def test_a_class_is_never_imported_because_a_file_says_so(tmp_path):
    weighed().save(tmp_path / "l")
    assert json.loads((tmp_path / "l" / "config.json").read_text())["learner"]["own"] == qualified_name(Weighed)
    for name in ("this.Weighed", "antigravity.Learner", "os.path.Weighed", "quickstudy.learners.solve.ridge.Gone"):
        rewritten(tmp_path / "l", lambda config, name=name: config["learner"].update(own=name))
        with pytest.raises(CheckpointError, match=f"expected the class {name}, which is not quickstudy's own"):
            qs.load(tmp_path / "l", embed=nn.Linear(4, 2))
    assert not {"this", "antigravity"} & sys.modules.keys()


def test_another_class_does_not_take_its_place(tmp_path):
    weighed().save(tmp_path / "l")
    with pytest.raises(CheckpointError, match=r"Call load\(path, learner=Weighed\)"):
        qs.load(tmp_path / "l", learner=qs.Prototypical, embed=nn.Linear(4, 2))


def test_a_class_that_is_defined_again_takes_the_place_of_the_old_one():
    def define(answer):
        class Again(qs.Learner):
            def learn(self, support):
                return answer

        return Again

    first, second = define(1), define(2)
    assert LEARNERS[qualified_name(second)] is second
    assert qualified_name(first) == qualified_name(second)


def test_a_wrapped_learner_of_ones_own_comes_back(tmp_path):
    learner, task = Standardised(weighed(), clip=2.0), episode()
    learner.save(tmp_path / "l")
    again = qs.load(tmp_path / "l", learner=Weighed, embed=nn.Linear(4, 2))
    assert torch.equal(again.adapt(task.support)(task.query.x), learner.adapt(task.support)(task.query.x))


def test_it_passes_the_checks():
    assert "save_and_load" in run_checks(weighed(), episode())


SCRIPT = """
import sys
import torch
import quickstudy as qs
from quickstudy.artifacts.export import export

class Mine(qs.Learner):
    def __init__(self, embed):
        super().__init__()
        self.embed = embed

    def learn(self, support):
        member = torch.nn.functional.one_hot(support.y, support.ways).to(torch.get_default_dtype())
        return {"means": (member.T @ self.embed(support.x)) / member.sum(0)[:, None]}

    def predict(self, values, x):
        return -((self.embed(x)[:, None] - values["means"]) ** 2).sum(-1)

if __name__ == "__main__":
    folder, resume = sys.argv[1], sys.argv[2] == "resume"
    tasks = qs.tasks.GaussianClasses(ways=3, dim=4)
    torch.manual_seed(0)
    learner = Mine(torch.nn.Linear(4, 2))
    settings = dict(tasks_per_step=2, validation_episodes=4, executor="loop", progress=False, out=folder, resume=resume)
    run = qs.meta_train(learner, tasks, steps=6 if resume else 3, **settings)
    again = qs.load(folder, learner=Mine, embed=torch.nn.Linear(4, 2))
    x = torch.randn(3, 4)
    predictor = again.adapt(tasks.test.sample(1)[0].support)
    apart = export(predictor, "mine.pt2", x)
    program = torch.export.load("mine.pt2").module()(x)
    scores = [qs.evaluate(one, tasks.test, 10).mean for one in (again, learner)]
    print(len(run.history), scores[0] == scores[1], apart < 1e-5 and torch.allclose(program, predictor(x), atol=1e-5))
"""


def test_one_that_a_script_defines_is_trained_resumed_loaded_scored_exported_and_listed(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    for what, steps in (("train", 3), ("resume", 6)):
        command = [sys.executable, "script.py", "run", what]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment())
        assert done.stdout == f"{steps} True True\n", done.stderr
    command = [sys.executable, "-m", "quickstudy.cli", "list", ".", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment())
    (row,) = map(json.loads, done.stdout.splitlines())
    assert row["learner"] == "Mine", done.stderr
    assert (row["run"], row["steps"], row["state"]) == ("run", 6, "finished")


def environment():
    import os

    return os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1] / "src"), "OMP_NUM_THREADS": "1"}


def test_what_was_written_before_is_refused_with_the_way_back(tmp_path):
    weighed().save(tmp_path / "l")
    config = json.loads((tmp_path / "l" / "config.json").read_text())
    (tmp_path / "l" / "config.json").write_text(json.dumps(config | {"format": 1}))
    with pytest.raises(CheckpointError, match=r"got format 1\. Train it again, or .* git checkout bf473dd"):
        qs.load(tmp_path / "l", learner=Weighed, embed=nn.Linear(4, 2))


# ---- wrappers -------------------------------------------------------------------------------------------------------------


def wrappers():
    """Every wrapper, made of a learner."""
    return {
        "Standardised": lambda learner: Standardised(learner),
        "Ensemble": lambda learner: qs.Ensemble(learner, 2),
        "Tables": lambda learner: Tables(learner, features=4, members=2),
        "Standardised of Standardised": lambda learner: Standardised(Standardised(learner, clip=3.0)),
    }


def test_every_wrapper_is_here():
    public = {name for name, one in vars(qs.learners.wrap).items() if isinstance(one, type) and issubclass(one, Wrapper)}
    assert public == {"Wrapper", *(name.partition(" ")[0] for name in wrappers())}


def loss(prediction, y):
    return nn.functional.cross_entropy(prediction, y, label_smoothing=0.1)


LEARNED = {
    "Reptile": lambda: qs.Reptile(nn.Linear(4, 3), inner_lr=0.01, inner_steps=3),
    "iMAML": lambda: qs.IMAML(nn.Linear(4, 3), inner_steps=2, loss=loss),
    "FOMAML": lambda: qs.FOMAML(nn.Linear(4, 3)),
    "SVM": lambda: SVM(nn.Linear(4, 3)),
    "Prototypical": lambda: qs.Prototypical(nn.Linear(4, 3)),
    "InContext": lambda: qs.InContext(features=4, max_ways=3, width=8, depth=1, heads=2),
    "FineTune": lambda: qs.PretrainFineTune(nn.Linear(4, 3)),
}
CAPABILITIES = ("outer", "inner_steps", "hypergradient", "criterion", "order_invariant", "exact_gradient", "needs_support")
CAPABILITIES += ("query_like_support", "meta_learns")
NONE = object()


@pytest.mark.parametrize("wrapper", wrappers())
@pytest.mark.parametrize("name", LEARNED)
def test_a_wrapper_hands_on_every_capability(wrapper, name):
    learner = LEARNED[name]()
    wrapped = wrappers()[wrapper](learner)
    for capability in CAPABILITIES:
        assert getattr(wrapped, capability, NONE) == getattr(learner, capability, NONE), capability
    assert wrapped.innermost is learner
    prepared = []
    learner.prepare = prepared.append
    wrapped.prepare(TASKS.train)
    assert prepared == [TASKS.train]


def test_a_standardised_reptile_is_trained_as_reptile():
    """It was trained by Backprop and Adam, without a word."""
    learner = Standardised(LEARNED["Reptile"]())
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    settings = {"steps": 1, "tasks_per_step": 1, "executor": "loop", "progress": False}
    qs.meta_train(learner, TASKS.train, **settings)
    generator = torch.Generator().manual_seed(0)
    task = TASKS.train.sample(1, generator=generator)[0]
    own = Standardised(LEARNED["Reptile"]())
    own.load_state_dict(before)
    seed = int(torch.randint(2**31, (1,), generator=generator))
    theta = own.adapt(task.support, seed=seed).state.values["learner"].values["theta"]
    for name, value in theta.items():  # an outer rate of 1: phi becomes theta
        torch.testing.assert_close(learner.state_dict()[f"learner.network.{name}"], value)


def test_what_serves_no_wrapped_learner_says_so():
    with pytest.raises(UnsupportedError, match="`estimator`: expected one that serves Tables, which adapts no parameters"):
        qs.meta_train(
            Tables(LEARNED["Reptile"](), features=4, members=2),
            TASKS.train,
            steps=1,
            tasks_per_step=1,
            progress=False,
        )
    with pytest.raises(UnsupportedError, match=r"drops the backward of an autograd.Function"):
        qs.meta_train(
            Standardised(qs.MAML(nn.Linear(4, 3), hypergradient=qs.Unrolled(recompute=True))),
            TASKS.train, steps=1, tasks_per_step=1, executor="compiled", progress=False,
        )  # fmt: skip


def test_steps_reach_the_wrapped_learner():
    learner = Standardised(qs.MAML(nn.Linear(4, 3), inner_lr=0.1))
    assert qs.evaluate(learner, TASKS.test, 10, steps=0).protocol["steps"] == 0
    assert qs.evaluate(learner, TASKS.test, 10, steps=0).mean != qs.evaluate(learner, TASKS.test, 10, steps=5).mean


def test_a_standardised_support_that_diverges_is_told_in_its_own_units():
    torch.manual_seed(0)
    learner = Standardised(qs.MAML(qs.models.mlp(4, 3, hidden=(8,)), inner_lr=1e30, inner_steps=5))
    task = episode()
    with pytest.raises(qs.errors.NotFiniteError, match="`inner_lr`: expected an inner loop that stays finite") as raised:
        learner.adapt(task.support)
    same = task.support.like(1e3 * task.support.x + 7, task.support.y)
    with pytest.raises(qs.errors.NotFiniteError) as again:
        learner.adapt(same)
    assert str(again.value) == str(raised.value)
