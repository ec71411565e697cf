"""LoRA: a low-rank change of the weights as the part that adapts."""

import copy

import pytest
import torch
from tests.checks.executors import executors_agree
from tests.checks.learners import FEATURES, classes, normed
from tests.checks.learners_descend import CASES
from tests.exact.quadratic import Quadratic, assert_slopes_agree, far, finite_differences, half_squares, line, start
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.models.lora import LoRA

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py


@pytest.mark.parametrize("make", [lambda: qs.models.mlp(6, 3, hidden=(8,)), lambda: qs.models.conv4(5, channels=4, size=16)])
def test_wrapped_network_is_at_first_the_network(make):
    """B = 0. Control: with B = 1 it is not."""
    network = make().double()
    wrapped = LoRA(copy.deepcopy(network), rank=2)
    x = torch.randn(4, 6) if hasattr(network, "body") else torch.randn(4, 1, 16, 16)
    assert torch.equal(wrapped(x), network(x))
    for B in wrapped.lora_b:
        nn.init.ones_(B)
    assert far(wrapped(x).detach(), network(x).detach(), 0.01)


def test_change_is_scale_over_rank_times_b_a():
    """Of a matrix and of a kernel, flattened; a bias has none."""
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(12, 2))
    wrapped = LoRA(network, rank=2, scale=4.0)
    assert wrapped.names == ("0.weight", "2.weight")
    for one in (*wrapped.lora_a, *wrapped.lora_b):
        nn.init.normal_(one)
    x = torch.randn(5, 2, 4, 4)
    kernel = network[0].weight + 2.0 * (wrapped.lora_b[0] @ wrapped.lora_a[0]).reshape(3, 2, 3, 3)
    matrix = network[2].weight + 2.0 * wrapped.lora_b[1] @ wrapped.lora_a[1]
    z = nn.functional.conv2d(x, kernel, network[0].bias).flatten(1)
    torch.testing.assert_close(wrapped(x), z @ matrix.T + network[2].bias)


def test_one_step_and_its_gradient_by_hand():
    """A linear network w (1, d) at rank 1 with B = 0 (a number b), A = alpha (d numbers): t = w + b alpha. At b = 0 the inner
    gradient of alpha is 0 and that of b is g'alpha, g = A(w - c), so t_1 = w - a (g'alpha) alpha, with P = alpha alpha':

        dL/dw     = (I - a A P) o,        o = B(t_1 - d)
        dL/dalpha = -a [ (g'alpha) o + (alpha'o) g ]

    In b, with t = w + b alpha:  b_1 = b - a g(t)'alpha and alpha_1 = alpha - a b g(t), whose slopes at b = 0 are
    1 - a alpha'A alpha and -a g, so  dL/db = (1 - a alpha'A alpha) alpha'o - a b_1 g'o.
    Control: MAML on w itself has another gradient.
    """
    task, network, a = Quadratic(), line(), 0.3
    wrapped = LoRA(network, rank=1)
    alpha, w = wrapped.lora_a[0].detach()[0], start(network)
    learner = qs.MAML(wrapped, inner_lr=a, loss=half_squares, adapts="lora_*")
    _, gradient = qs.meta_gradient(learner, [task.episode])
    g = task.A @ (w - task.c)
    b1 = -a * g @ alpha
    o = task.query_gradient(w + b1 * alpha)
    P = torch.outer(alpha, alpha)
    want = (task.I - a * task.A @ P) @ o
    torch.testing.assert_close(gradient["network.network.weight"][0], want, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(gradient["network.lora_a.0"][0], -a * ((g @ alpha) * o + (alpha @ o) * g), rtol=1e-11, atol=1e-12)
    want_b = (1 - a * alpha @ task.A @ alpha) * (alpha @ o) - a * b1 * (g @ o)
    torch.testing.assert_close(gradient["network.lora_b.0"][0, 0], want_b, rtol=1e-11, atol=1e-12)
    _, maml = qs.meta_gradient(qs.MAML(line(), inner_lr=a, loss=half_squares), [task.episode])
    assert far(want, maml["network.weight"][0])


def test_full_rank_with_a_fixed_identity_is_maml_on_the_weights():
    """A = I of rank d, descending on B alone: W' = W + B/d and dL/dB = G/d, so a step of size a_B moves W' by -a_B/d^2 G: with
    a_B = a d^2 the path, and the gradient in W, are MAML's. Control: at a_B = a they are not."""
    network, a, d = nn.Linear(3, 2), 0.3, 3
    wrapped = LoRA(copy.deepcopy(network), rank=d, targets="weight")
    with torch.no_grad():
        wrapped.lora_a[0].copy_(torch.eye(d))
    draw = lambda n: qs.Examples(torch.randn(n, 3), torch.arange(n) % 2)
    episode = qs.Episode(draw(6), draw(8))
    loss, want = qs.meta_gradient(qs.MAML(network, inner_lr=a, inner_steps=3, adapts="weight"), [episode])
    learner = qs.MAML(wrapped, inner_lr=a * d**2, inner_steps=3, adapts="lora_b.*")
    got_loss, got = qs.meta_gradient(learner, [episode])
    torch.testing.assert_close(got_loss, loss, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(got["network.network.weight"], want["network.weight"])
    torch.testing.assert_close(got["network.network.bias"], want["network.bias"])
    _, slow = qs.meta_gradient(qs.MAML(wrapped, inner_lr=a, inner_steps=3, adapts="lora_b.*"), [episode])
    assert far(want["network.weight"], slow["network.network.weight"], 0.01)


def test_only_the_adapter_adapts_and_everything_is_learned():
    learner, episode = CASES["LoRA"]()
    state = learner.adapt(episode.support).state.values
    assert all(name.startswith("lora_") for name in state["theta"])
    _, gradient = qs.meta_gradient(learner, [episode])
    assert all(float(one.abs().max()) > 0 for one in gradient.values())


def test_gradient_by_finite_differences():
    wrapped = LoRA(qs.models.mlp(3, 1, hidden=(4,)).double(), rank=2)
    for B in wrapped.lora_b:
        nn.init.normal_(B)
    learner = qs.MAML(wrapped, inner_lr=0.1, inner_steps=2, adapts="lora_*")
    draw = lambda n: qs.Examples(torch.randn(n, 3), torch.randn(n, 1))
    assert_slopes_agree(finite_differences(learner, [qs.Episode(draw(5), draw(6))]))


def test_an_adapter_of_ones_own_by_its_name():
    """A bottleneck beside a layer: adapts="adapter.*" is all it takes."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(3, 4), nn.Linear(4, 1)
            self.adapter = nn.Sequential(nn.Linear(4, 2), nn.Tanh(), nn.Linear(2, 4))

        def forward(self, x):
            z = torch.tanh(self.body(x))
            return self.head(z + self.adapter(z))

    learner = qs.MAML(Net(), inner_lr=0.1, inner_steps=2, adapts="adapter.*")
    draw = lambda n: qs.Examples(torch.randn(n, 3), torch.randn(n, 1))
    episode = qs.Episode(draw(5), draw(6))
    assert set(learner.adapt(episode.support).state.values["theta"]) == {
        f"adapter.{i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")
    }
    assert_slopes_agree(finite_differences(learner, [episode]))


@pytest.mark.parametrize("order", [qs.Unrolled(), qs.FirstOrder()], ids=repr)
def test_executors(order):
    """With batch norm and dropout inside, through two functional_calls."""
    torch.set_default_dtype(torch.float64)
    wrapped, episode = LoRA(normed(), rank=2), classes()
    for B in wrapped.lora_b:
        nn.init.normal_(B)
    executors_agree(qs.MAML(wrapped, inner_lr=0.3, inner_steps=2, adapts="lora_*", hypergradient=order), episode)


def test_refusals():
    with pytest.raises(errors.ArgumentError, match=r"`targets`: expected a pattern that matches one of \['weight'\], got 'head'"):
        LoRA(line(), targets="head")
    with pytest.raises(errors.ArgumentError, match=r"`rank`: expected 1 or more, got 0"):
        LoRA(line(), rank=0)


def test_a_network_of_ones_own_is_handed_in_wrapped(tmp_path):
    """A saved learner on LoRA around a foreign network is read back with network=LoRA(...)."""
    learner = qs.MAML(LoRA(normed(), rank=2), adapts="lora_*")
    learner.save(tmp_path)
    again = qs.load(tmp_path, network=LoRA(normed(), rank=2))
    support = classes().support
    x = torch.randn(4, FEATURES)
    assert torch.equal(again.adapt(support)(x), learner.adapt(support)(x))
