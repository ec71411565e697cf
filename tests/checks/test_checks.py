"""Every check on every learner, and each check catching a learner that breaks it."""

import importlib
import pkgutil
import random

import pytest
import torch
from tests.checks.every import CASES, each
from tests.checks.executors import executors_agree
from tests.checks.learners import classes, network, targets
from torch import nn
from torch.func import functional_call, grad

import quickstudy as qs
from quickstudy import testing
from quickstudy.errors import UnsupportedError
from quickstudy.learners.learner import Learner


@pytest.mark.parametrize("check", testing.CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("name", each(CASES))
def test_check(name, check):
    learner, episode = CASES[name]()
    check(learner, episode)


def test_run_checks_runs_them_all_and_leaves_the_learner_as_it_was():
    learner, episode = CASES["learners: MAML"]()
    before = {name: tensor.clone() for name, tensor in learner.state_dict().items()}
    assert testing.run_checks(learner, episode) == [check.__name__.removeprefix("check_") for check in testing.CHECKS]
    assert all(torch.equal(before[name], tensor) for name, tensor in learner.state_dict().items())


def test_every_check_of_the_module_is_run():
    modules = [importlib.import_module(f"quickstudy.testing.{one.name}") for one in pkgutil.iter_modules(testing.__path__)]
    own = [(name, module) for module in modules for name in vars(module) if name.startswith("check_")]
    checks = {name for name, module in own if vars(module)[name].__module__ == module.__name__}
    assert checks == {check.__name__ for check in testing.CHECKS}
    assert len(checks) > 10


@pytest.mark.parametrize("policy", ["support", "running", "transductive", "frozen"])
@pytest.mark.parametrize("kind", ["MAML", "Prototypical"])
def test_is_transductive_tells_the_policies_apart(kind, policy):
    learner, episode = CASES[f"learners: {kind}, {policy}"]()
    assert testing.is_transductive(learner, episode) == (policy == "transductive")


@pytest.mark.parametrize("name", each(name for name in CASES if "recomputed" not in name))
def test_executors_serve_and_equal_the_loop(name):
    """The check of executors passes where one cannot serve at all; here threads and vmap must."""
    learner, episode = CASES[name]()
    if learner.meta_learns:
        executors_agree(learner, episode, 1e-8)


# ---- the controls: one broken learner for each check ---------------------------------------------------------------------


class Means(Learner):
    """A learner that passes every check: class means of an embedding. Each one below fails a check of it."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(6, 4)

    def learn(self, support):
        member = nn.functional.one_hot(support.y, support.ways).to(support.x.dtype)
        return {"means": member.T @ self.embed(support.x) / member.sum(0)[:, None]}

    def predict(self, state, x):
        return -(torch.cdist(self.embed(x), state["means"]) ** 2)


class WrongShape(Means):
    def predict(self, state, x):
        return super().predict(state, x).T


class TwoWays(Means):
    """What it answers by `learner(support, x)` is not what its predictor answers, which keeps no graph."""

    def predict(self, state, x):
        return (1 + torch.is_grad_enabled()) * super().predict(state, x)


class Remembers(Means):
    """Keeps what it has learned on itself, so that the next task overwrites it."""

    def learn(self, support):
        self.means = super().learn(support)["means"]
        return {"nothing": torch.zeros(1)}

    def predict(self, state, x):
        return super().predict({"means": self.means}, x)


class Overwrites(Means):
    """What was learned stands in a place that it had from the beginning, and is gone with the call."""

    def __init__(self):
        super().__init__()
        self.means = torch.zeros(3, 4)

    def learn(self, support):
        self.means = super().learn(support)["means"]
        return {"nothing": torch.zeros(1)}

    def predict(self, state, x):
        return super().predict({"means": self.means.to(x.dtype)}, x)


class KeepsObjects(Means):
    def learn(self, support):
        return {**super().learn(support), "ways": support.ways}


class Writes(Means):
    """A running scale, updated as it learns."""

    def learn(self, support):
        with torch.no_grad():
            self.embed.weight.mul_(1.01)
        return super().learn(support)


class Random(Means):
    def predict(self, state, x):
        return super().predict(state, x) + random.random()


class Ordered(Means):
    """The last example of all counts twice."""

    def learn(self, support):
        state = super().learn(support)
        return {"means": state["means"] + 0.1 * self.embed(support.x[-1:])}


class FirstClass(Means):
    """A prior for class 0."""

    def predict(self, state, x):
        return super().predict(state, x) + (torch.arange(len(state["means"])) == 0)


class Centred(Means):
    """Shifts the queries to the mean of all of them."""

    def predict(self, state, x):
        return super().predict(state, x - x.mean(0))


class Variances(Means):
    """Divides by a standard deviation within the support that a single shot does not have."""

    def learn(self, support):
        state = super().learn(support)
        spread = [support.x[support.y == k].std(0).mean() for k in range(support.ways)]
        return {"means": state["means"] / torch.stack(spread)[:, None]}


class Divides(Means):
    """The same, but where it answers."""

    def predict(self, state, x):
        return super().predict(state, x) / (len(x) - 1)


class Rounded(Means):
    def learn(self, support):
        return {"means": super().learn(support)["means"].float().to(support.x.dtype)}

    def predict(self, state, x):
        return super().predict(state, x.float().to(x.dtype))


class Single(Means):
    def predict(self, state, x):
        return super().predict(state, x).float()


class Counts(Means):
    """Its loss grows with every task that it has seen: Python state, which each executor sees otherwise."""

    seen = 0

    def episode_loss(self, values, prediction, query, criterion):
        type(self).seen += 1
        return super().episode_loss(values, prediction, query, criterion) * type(self).seen


class Native(Learner):
    """One second-order step through torch's own affine layer norm, which is wrong under vmap (test_torch_faults.py)."""

    label_equivariant = False

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(6, 6)
        self.weight, self.bias, self.head = nn.Parameter(torch.rand(6)), nn.Parameter(torch.randn(6)), nn.Linear(6, 3)

    def run(self, p, x):
        h = torch.layer_norm(functional_call(self.net, {"weight": p["w"], "bias": p["b"]}, (x,)), (6,), p["s"], p["t"])
        return self.head(torch.tanh(h))

    def learn(self, support):
        p = {"w": self.net.weight, "b": self.net.bias, "s": self.weight, "t": self.bias}
        g = grad(lambda p: nn.functional.cross_entropy(self.run(p, support.x), support.y))(p)
        return {name: value - 0.5 * g[name] for name, value in p.items()}

    def predict(self, state, x):
        return self.run(state, x)


class Detached(Means):
    """Takes its means as constants in the loss."""

    def learn(self, support):
        return {"means": super().learn(support)["means"].detach()}


BROKEN = {
    "answer: shape": (WrongShape, testing.check_answer, r"answers 6 queries with a tensor of shape \(3, 6\), not \(6, 3\)"),
    "answer: two ways": (TwoWays, testing.check_answer, r"learner\(support, x\) and learner\.adapt\(support\)\(x\) differ by"),
    "state: kept on the learner": (Remembers, testing.check_state, "`predict` asks for `means`, which `learn` has left"),
    "answer: kept on the learner": (Overwrites, testing.check_answer, r"learner\(support, x\) and learner\.adapt"),
    "state: an int": (KeepsObjects, testing.check_state, "its state holds an object of type int"),
    "changes nothing": (Writes, testing.check_changes_nothing, "`embed.weight` is not what it was before adapt"),
    "determinism": (Random, testing.check_determinism, "two runs on one support differ"),
    "order": (Ordered, testing.check_order, "another order of the support set changes the answer.*order_invariant = False"),
    "labels": (FirstClass, testing.check_labels, "renumbering the classes does not permute.*label_equivariant = False"),
    "transductive": (Centred, testing.check_transductive, "one by one are not answered as together.*'transductive'"),
    "small tasks": (
        Variances,
        testing.check_small_tasks,
        "does not learn a task of 1 shot: .*NaN or infinity in the state that Variances learned",
    ),
    "small tasks: one query": (Divides, testing.check_small_tasks, r"a task of one query gives .* for 1 queries, or NaN"),
    "float64: rounded on the way": (Rounded, testing.check_float64, "1e-10 in the queries does not reach the answer"),
    "float64: dtype": (Single, testing.check_float64, "in float64 give torch.float32"),
    "executors: Python state": (Counts, testing.check_executors, "differs from the loop's by .* Keep no Python state"),
    "executors: native norm": (Native, testing.check_executors, "with vmap its gradient differs from the loop's"),
    "gradient": (Detached, testing.check_gradient, "of `embed.weight` the loss has the slope .* Look for a detach"),
}


def test_the_learner_that_they_are_made_from_passes_every_check():
    torch.manual_seed(0)
    testing.run_checks(Means(), classes())


@pytest.mark.filterwarnings("ignore:std\\(\\):UserWarning")
@pytest.mark.parametrize("name", BROKEN)
def test_check_catches(name):
    torch.manual_seed(0)
    broken, check, text = BROKEN[name]
    with pytest.raises(testing.ConformanceError, match=text) as caught:
        check(broken(), classes())
    assert caught.value.check == check.__name__.removeprefix("check_")
    assert str(caught.value).startswith(f"{broken.__name__} fails the check `{caught.value.check}`: ")


def test_check_of_saving_catches_what_arguments_do_not_rebuild():
    """A number of steps changed after the learner was built stands in no argument and in no buffer; a rate does."""
    torch.manual_seed(0)
    learner, episode = qs.MAML(network(1), inner_lr=0.1), targets()
    learner.rates.rate.fill_(0.4)
    testing.check_save_and_load(learner, episode)
    learner.inner_steps = 3
    with pytest.raises(testing.ConformanceError, match="the saved learner answers otherwise when it is read back"):
        testing.check_save_and_load(learner, episode)


def test_check_of_saving_catches_a_folder_that_does_not_load():
    torch.manual_seed(0)
    learner = qs.Prototypical(network())
    learner.temperature = nn.Parameter(torch.ones(()))
    with pytest.raises(testing.ConformanceError, match=r"the saved learner does not load: .*temperature"):
        testing.check_save_and_load(learner, classes())


@pytest.mark.parametrize("name", ["adapt", "forward", "loss", "copied"])
def test_what_belongs_to_the_base_is_refused_by_name(name):
    """A learner that overrides a final method would leave the scope of norms and draws unopened."""
    kind = type("Mine", (Means,), {name: lambda self, *args: None})
    with pytest.raises(UnsupportedError, match=rf"`Mine\.{name}`: expected a learner that leaves it to the base.*Define "):
        kind()
