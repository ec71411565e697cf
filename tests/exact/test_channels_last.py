"""Batch norm of channels-last images, written out by hand: forward, backward and second derivatives against plain torch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.func import grad

import quickstudy as qs
from quickstudy.forward import channels_last
from quickstudy.forward.context import Context
from quickstudy.forward.mode import Forward


def images(examples=4, channels=3, height=5, width=2, seed=0):
    x = torch.randn(examples, channels, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (2 * x + 3).contiguous(memory_format=torch.channels_last)


def affine(channels=3):
    return torch.linspace(-0.5, 1.5, channels).double(), torch.linspace(1.0, 2.0, channels).double()


def reference(x, weight, bias, eps=1e-3):
    return F.batch_norm(x.contiguous(), None, None, weight, bias, True, 0.1, eps)


def ours(x, weight, bias, eps=1e-3):
    return channels_last.batch_norm(x, weight, bias, eps)


@pytest.fixture(autouse=True, params=["plain", "rows"])
def form(request, monkeypatch):
    """Every test runs in both forms: small images and large ones."""
    monkeypatch.setattr(channels_last, "LARGE", 1 << 30 if request.param == "plain" else 0)
    return request.param


@pytest.mark.parametrize("slab", [1 << 17, 12])  # one slab; four rows a slab
def test_value_and_gradient(monkeypatch, slab):
    monkeypatch.setattr(channels_last, "SLAB", slab)
    given = [t.requires_grad_() for t in (images(), *affine())]
    pull = images(seed=1)
    for norm in (ours, reference):
        y = norm(*given)
        gradients = torch.autograd.grad((y * pull).sum(), given)
        if norm is ours:
            kept = y, gradients
            assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(kept[0], y)
    torch.testing.assert_close(kept[1], gradients)


def test_first_and_second_derivatives_by_differences():
    given = tuple(t.requires_grad_() for t in (images(), *affine()))
    assert torch.autograd.gradcheck(lambda *t: ours(*t), given)
    assert torch.autograd.gradgradcheck(lambda *t: ours(*t), given)


def test_a_backward_that_forgets_the_mean_fails(monkeypatch):
    """The control: statistics taken for constants."""
    monkeypatch.setattr(channels_last, "LARGE", 0)
    monkeypatch.setattr(
        channels_last, "in_slabs", lambda dy, x, weight, mean, r: (dy * r * weight, (dy * (x - mean) * r).sum(0), dy.sum(0))
    )
    x, pull = images().requires_grad_(), images(seed=1)
    mine, right = (torch.autograd.grad((norm(x, *affine()) * pull).sum(), x)[0] for norm in (ours, reference))
    assert float((mine - right).norm() / right.norm()) > 0.1


def test_under_func_grad_and_plain_autograd_outside():
    """As an inner loop differentiates: torch.func inside, plain autograd outside."""
    x, (weight, bias), target = images(), affine(), images(seed=1)

    def meta(norm, weight):
        inner = grad(lambda w: ((norm(x, w, bias) - target) ** 2).mean())
        return (norm(x, weight - 0.5 * inner(weight), bias) ** 3).mean()

    gradients = []
    for norm in (ours, reference):
        phi = weight.clone().requires_grad_()
        gradients += torch.autograd.grad(meta(norm, phi), phi)
    torch.testing.assert_close(*gradients)


def test_without_affine_weights():
    torch.testing.assert_close(ours(images(), None, None), reference(images(), None, None))


@pytest.mark.parametrize("steps", [1, 2])
def test_meta_gradient_does_not_depend_on_the_layout(monkeypatch, steps):
    """Conv4 lies channels last; the same network in contiguous layout has the same meta-gradient."""
    torch.manual_seed(0)
    network = qs.models.conv4(ways=3, channels=4, size=16)
    tasks = qs.tasks.LabelledTasks(torch.rand(30, 1, 16, 16), torch.arange(3).repeat_interleave(10), ways=3, shots=1, queries=2)
    episodes = tasks.sample(2, generator=torch.Generator().manual_seed(0))
    assert network.blocks[1].conv.weight.is_contiguous(memory_format=torch.channels_last)
    served = []
    answers = []
    batch_norm = channels_last.batch_norm
    monkeypatch.setattr(channels_last, "batch_norm", lambda x, *rest: (served.append(x.shape), batch_norm(x, *rest))[1])
    for layout in (torch.channels_last, torch.contiguous_format):
        if layout == torch.contiguous_format:
            assert served
            monkeypatch.setattr(channels_last, "serves", lambda x: False)
        learner = qs.MAML(
            network.to(memory_format=layout).double(), inner_lr=0.1, inner_steps=steps, normalisation="transductive"
        )
        answers.append(qs.meta_gradient(learner, double(episodes)))
    torch.testing.assert_close(answers[0], answers[1])


def test_norms_take_it_for_such_images_alone():
    x, (weight, bias) = images(), affine()
    assert channels_last.serves(x)
    assert not channels_last.serves(x.contiguous())
    assert not channels_last.serves(torch.zeros(4, 3))
    with Forward(Context()):
        torch.testing.assert_close(F.batch_norm(x, None, None, weight, bias, False, 0.1, 1e-3), reference(x, weight, bias))


def double(episodes):
    return episodes.map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf)
