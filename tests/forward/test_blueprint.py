"""Any nn.Module, unmodified, with other weights: against training in place, and bit for bit untouched."""

import copy
import functools
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from tests.forward.networks import (
    FOUND_BY_CHECK_MODEL,
    ONLY_IN_THE_LOOP,
    REFUSED_AT_THE_CALL,
    WEIGHTS,
    D,
    Net,
    sets,
)
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.forward.blueprint import Blueprint, Snapshot, constant, share
from quickstudy.forward.context import Context
from quickstudy.forward.mode import Forward
from quickstudy.meta.executors import Threads

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

RATE, STEPS = 0.1, 2


def made(make):
    torch.manual_seed(0)
    return make().double()


def an_episode():
    draw = lambda n: qs.Examples(torch.randn(n, D), torch.randn(n, D))
    return qs.Episode(draw(7), draw(9))


def trained_in_place(make, values, episode, steps=STEPS):
    """An oracle that knows nothing of copies: for each pass a new module, its parameters set to `values`; the outer loss."""
    for t in range(steps + 1):
        net, (part) = made(make).eval(), episode.support if t < steps else episode.query
        for parameter, value in zip(net.parameters(), values, strict=True):
            parameter.data.copy_(value)
        loss = F.mse_loss(net(part.x), part.y)
        g = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True, materialize_grads=True)
        values = [value - RATE * one for value, one in zip(values, g, strict=True)]
    return loss.item()


@pytest.mark.parametrize("name", WEIGHTS)
def test_value_and_second_order_against_training_in_place(name):
    """The outer loss of MAML, its slope along a direction by differences, first order as a control; the module only read."""
    make, episode = WEIGHTS[name], an_episode()
    net = made(make)
    before, calls = copy.deepcopy(net.state_dict()), net.calls
    own = [parameter.detach().clone() for parameter in net.parameters()]
    # eval: a spectral norm in training moves its vectors at every call, and so does the oracle's not
    net.eval()
    learner = qs.MAML(net, inner_lr=RATE, inner_steps=STEPS, normalisation="frozen")
    loss = learner.loss(episode)
    g = torch.autograd.grad(loss, list(learner.network.parameters()), materialize_grads=True)
    assert loss.item() == pytest.approx(trained_in_place(make, own, episode), rel=1e-12)
    d = [torch.randn(p.shape, generator=torch.Generator().manual_seed(i)) for i, p in enumerate(own)]
    at = lambda e: trained_in_place(make, [p + e * q for p, q in zip(own, d, strict=True)], episode)
    slope = (8 * (at(1e-4) - at(-1e-4)) - (at(2e-4) - at(-2e-4))) / 12e-4
    along = sum(float((a.detach() * b).sum()) for a, b in zip(g, d, strict=True))
    assert along == pytest.approx(slope, rel=1e-7, abs=1e-9)
    first = qs.FOMAML(net, inner_lr=RATE, inner_steps=STEPS, normalisation="frozen").loss(episode)
    g = torch.autograd.grad(first, list(net.parameters()), materialize_grads=True)
    assert sum(float((a * b).sum()) for a, b in zip(g, d, strict=True)) != pytest.approx(slope, rel=1e-4)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert net.calls == calls


@pytest.mark.parametrize("name", sorted(ONLY_IN_THE_LOOP))
@pytest.mark.parametrize("order", [1, 2])
def test_what_torch_func_refuses_is_served_by_loop_and_threads(name, order):
    net, episodes = made(WEIGHTS[name]), [an_episode(), an_episode()]
    learner = (qs.MAML if order == 2 else qs.FOMAML)(net, inner_lr=RATE, inner_steps=STEPS)
    loss, gradient = qs.meta_gradient(learner, episodes)
    other_loss, other = qs.meta_gradient(learner, episodes, executor=Threads(2))
    assert torch.equal(loss, other_loss)
    assert all(torch.equal(gradient[key], other[key]) for key in gradient)
    assert any(float(one.abs().max()) > 1e-6 for one in gradient.values())
    assert torch.isfinite(learner.adapt(episodes[0].support)(episodes[0].query.x)).all()
    recomputed = qs.MAML(net, inner_lr=RATE, inner_steps=STEPS, hypergradient=qs.Unrolled(recompute=True))
    if order == 2:
        _, again = qs.meta_gradient(recomputed, episodes)
        for key in gradient:
            torch.testing.assert_close(again[key], gradient[key], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", REFUSED_AT_THE_CALL)
def test_what_cannot_be_served_is_refused_by_name(name):
    make, message = REFUSED_AT_THE_CALL[name]
    learner = qs.MAML(made(make), inner_steps=1)
    with pytest.raises(errors.UnsupportedError, match=message):
        qs.meta_gradient(learner, [an_episode()])
    with pytest.raises(errors.UnsupportedError, match=message):
        learner.adapt(an_episode().support)


@pytest.mark.parametrize("name", FOUND_BY_CHECK_MODEL)
def test_check_model_finds_what_no_call_can_see(name):
    make, message = FOUND_BY_CHECK_MODEL[name]
    found = qs.check_model(made(make), torch.randn(5, D))
    assert message.replace("\\", "") in str(found)
    assert qs.check_model(made(Net), torch.randn(5, D)).notes == []


def test_check_model_says_which_executors_serve():
    torch.set_num_threads(2)
    found = qs.check_model(made(WEIGHTS["autograd.Function"]), torch.randn(5, D))
    assert found.executors["loop"] == found.executors["threads"] == "serves"
    assert "torch refuses" in found.executors["vmap"]
    for name, (make, message) in REFUSED_AT_THE_CALL.items():
        found = qs.check_model(made(make), torch.randn(5, D))
        assert re.search(message.replace("network", "").replace("Descent", "Net").lstrip("`\\."), " ".join(found.notes)), name
        assert set(found.executors.values()) == {found.notes[0]}


def test_a_copy_is_deterministic_and_the_module_is_only_read_by_eight_threads():
    net = made(lambda: Net(lambda self, h: self.more[1](self.more[0](h)), nn.BatchNorm1d(D), nn.Dropout(0.5)))
    weights = [{name: torch.randn_like(p) for name, p in net.named_parameters()} for _ in range(16)]
    plan, x, before = Blueprint(net, training=True), torch.randn(7, D), copy.deepcopy(net.state_dict())

    def answer(i):
        forward = Forward(Context(True, i))
        with forward:
            return plan(weights[i % 16])(x).detach()

    once = [answer(i) for i in range(250)]
    with ThreadPoolExecutor(8) as pool:
        wrong = sum(pool.map(lambda _: sum(not torch.equal(answer(i), one) for i, one in enumerate(once)), range(8)))
    assert wrong == 0
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_what_copies_share():
    """What cannot change is shared; a list is each copy's own; a type can be declared."""

    class Table(dict):
        pass

    for value in (1, "a", (1, ("b", None)), torch.float32, len, qs.Unrolled(), threading.Lock()):
        assert constant(value), value
    for value in ([1], {"a": 1}, (1, [2]), nn.Linear(1, 1), torch.ones(1), functools.partial(print, [1])):
        assert not constant(value), value
    net = Net(prepare=sets(table=lambda self: Table(a=[1]), numbers=lambda self: [1, 2]))
    assert Blueprint(net)().table is not net.table
    share(Table)
    one, other = Blueprint(net)(), Blueprint(net)()
    assert one.table is net.table
    one.numbers.append(3)
    assert (net.numbers, other.numbers) == ([1, 2], [1, 2])


class Switch:
    """Changes of a module, each by its name: what a snapshot must see."""

    @staticmethod
    def an_attribute(module):
        module[0].eps = 1e-3

    @staticmethod
    def a_new_attribute(module):
        module.extra = 1

    @staticmethod
    def the_mode(module):
        module.eval()

    @staticmethod
    def a_parameter_that_is_another(module):
        module[1].weight = nn.Parameter(module[1].weight.detach().clone())

    @staticmethod
    def a_module_that_is_another(module):
        module[1] = nn.Linear(4, 4)

    @staticmethod
    def a_member_of_a_list(module):
        module[1].powers.append(2)

    @staticmethod
    def a_member_in_the_place_of_another(module):
        module[1].powers[0] = 7

    @staticmethod
    def a_hook(module):
        module[1].register_forward_hook(lambda *arguments: None)

    @staticmethod
    def parameters_that_were_none(module):
        module[1].register_parameter("bias", nn.Parameter(torch.zeros(4)))


@pytest.mark.parametrize("name", [name for name in vars(Switch) if not name.startswith("_")])
def test_a_snapshot_sees_what_changes_and_no_number(name):
    module = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 4, bias=False))
    module[1].powers = [1]
    snapshot = Snapshot(Blueprint(module))
    with torch.no_grad():
        module[1].weight.add_(1.0)
    module(torch.randn(3, 4))  # moves the averages
    assert snapshot.holds()
    getattr(Switch, name)(module)
    assert not snapshot.holds()
