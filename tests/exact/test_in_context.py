"""The in-context transformer against one masked pass over support and queries, written with torch's own attention."""

import pytest
import torch
import torch.nn.functional as F
from tests.checks.learners_in_context import CASES
from tests.exact.quadratic import assert_slopes_agree, finite_differences
from tests.meta.executors.networks import assert_same
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call, grad, vmap

import quickstudy as qs
from quickstudy import testing
from quickstudy.errors import ArgumentError, LabelError, ShapeError
from quickstudy.learners.read import transformer
from quickstudy.learners.read.in_context import InContext
from quickstudy.learners.read.transformer import Block, attention
from quickstudy.meta.executors import Compiled, Threads

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

WAYS, FEATURES = 3, 5


def a_learner(**arguments):
    """In float64, its weights away from where they begin, so that no bias is 0."""
    learner = InContext(**{"features": FEATURES, "max_ways": 4, "width": 8, "depth": 2, "heads": 2, **arguments}).double()
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return learner


def an_episode(shots=3, queries=4):
    draw = lambda n: qs.Examples(torch.randn(WAYS * n, FEATURES), torch.randperm(WAYS * n) % WAYS, WAYS)
    return qs.Episode(draw(shots), draw(queries))


def one_pass(learner, support, x, masked=True, positions=None):
    """The paper's way: all tokens at once, through torch's multi-head attention with a mask of who is seen by whom.

    A token looks at the support; unmasked, at the queries as well.
    """
    n, total = len(support), len(support) + len(x)
    h = torch.cat([support.x, x]) @ learner.A + learner.a
    h = h + torch.cat([learner.E[support.y], torch.zeros(len(x), h.shape[1])])
    if positions is not None:
        h = h + positions[:total]
    unseen = (torch.arange(total) >= n).expand(total, total) if masked else torch.zeros(total, total, dtype=torch.bool)
    norm = lambda h, one: F.layer_norm(h, h.shape[-1:], one.weight, one.bias)
    for block in learner.blocks:
        z = norm(h, block.norm_attention)
        into = torch.cat([block.Q.T, block.K.T, block.V.T])
        seen, _ = F.multi_head_attention_forward(
            z, z, z, h.shape[1], block.heads, into, None, None, None, False, 0.0, block.U.T, None, attn_mask=unseen
        )
        h = h + seen
        h = h + F.gelu(norm(h, block.norm_perceptron) @ block.B + block.b) @ block.C + block.c
    return (norm(h[n:], learner.norm) @ learner.W + learner.w)[:, : support.ways]


@pytest.mark.parametrize("sizes", [{}, {"depth": 1, "heads": 1}, {"depth": 3, "heads": 4}])
def test_learn_and_predict_are_one_masked_pass(sizes):
    """Answers and every gradient. Control: the same pass without the mask."""
    learner, episode = a_learner(**sizes), an_episode()
    got, want = learner(episode.support, episode.query.x), one_pass(learner, episode.support, episode.query.x)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-11)
    _, gradient = qs.meta_gradient(learner, [episode])
    phi = dict(learner.named_parameters())
    of_pass = lambda **how: torch.autograd.grad(
        F.cross_entropy(one_pass(learner, episode.support, episode.query.x, **how), episode.query.y), list(phi.values())
    )
    assert_same(gradient, dict(zip(phi, of_pass(), strict=True)))
    with pytest.raises(AssertionError):
        assert_same(gradient, dict(zip(phi, of_pass(masked=False), strict=True)), tolerance=1e-3)


def seen_by(function, x):
    """Which query's answer depends on which query's x: (queries, queries)."""
    return torch.autograd.functional.jacobian(function, x).abs().sum((1, 3)) > 0


def test_no_query_sees_another_exactly():
    """d answer_i / d x_j is the number 0 for i != j, not a small one. Control: unmasked, every query sees every other."""
    learner, episode = a_learner(), an_episode()
    x, support = episode.query.x, episode.support
    assert torch.equal(seen_by(lambda x: learner(support, x), x), torch.eye(len(x), dtype=torch.bool))
    assert seen_by(lambda x: one_pass(learner, support, x, masked=False), x).all()


def test_a_query_s_answer_depends_on_every_example_and_label():
    learner, episode = a_learner(), an_episode()
    support, x = episode.support, episode.query.x
    slopes = torch.autograd.functional.jacobian(lambda own: learner(qs.Examples(own, support.y, WAYS), x), support.x)
    assert (slopes.abs().sum((1, 3)) > 0).all()
    answer = learner(support, x)
    for row in range(len(support)):
        y = support.y.clone()
        y[row] = (y[row] + 1) % WAYS
        assert not torch.allclose(learner(qs.Examples(support.x, y, WAYS), x), answer)


def test_the_order_of_the_support_does_not_matter():
    """Control: with positions added to the tokens it does."""
    learner, episode = a_learner(), an_episode()
    support, x, order = episode.support, episode.query.x, torch.randperm(len(episode.support))
    other = support.map(lambda leaf: leaf[order])
    torch.testing.assert_close(learner(other, x), learner(support, x), rtol=1e-11, atol=1e-12)
    place = torch.randn(len(support) + len(x), 8)
    assert not torch.allclose(one_pass(learner, other, x, positions=place), one_pass(learner, support, x, positions=place))


def test_attention_equals_torch_s_and_has_two_derivatives():
    """Control: without the root of d."""
    q, k, v = torch.randn(2, 3, 4), torch.randn(2, 5, 4), torch.randn(2, 5, 4)
    torch.testing.assert_close(attention(q, k, v), F.scaled_dot_product_attention(q, k, v))
    assert not torch.allclose(attention(2 * q, k, v), F.scaled_dot_product_attention(q, k, v))
    for tensor in (q, k, v):
        tensor.requires_grad_()
    assert gradcheck(attention, (q, k, v))
    assert gradgradcheck(attention, (q, k, v))


def test_gradient_by_finite_differences():
    learner = a_learner(embed=nn.Sequential(nn.Linear(FEATURES, 3), nn.Tanh()), features=3)
    assert_slopes_agree(finite_differences(learner, [an_episode()]))


# ---- executors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_executors_equal_the_loop(name):
    learner, one = CASES[name]()
    learner, one = learner.double(), one.map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf)
    scaled = lambda part, by: qs.Examples(part.x * by, part.y, part.ways)
    batch = [one, qs.Episode(scaled(one.support, 0.7), scaled(one.query, 1.2))]
    loss, want = qs.meta_gradient(learner, batch)
    for executor in (Threads(2), "vmap"):
        other, got = qs.meta_gradient(learner, batch, executor=executor)
        torch.testing.assert_close(other, loss, rtol=1e-11, atol=1e-12)
        assert_same(got, want)


def slope_of_the_gradient(block, s, h, mapped):
    """d/dphi of  mean over tasks of || d/dphi f ||^2  for f = |block's answer|^4: second order, outermost plain autograd."""
    phi = {name: parameter.detach().requires_grad_() for name, parameter in block.named_parameters()}

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = block

        def forward(self, s, h):
            return (self.block(h, *self.block.memory(s)) ** 4).mean()

    whole = Whole()

    def steepness(phi, s, h):
        slope = grad(lambda phi: functional_call(whole, {f"block.{name}": one for name, one in phi.items()}, (s, h)))(phi)
        return sum((one**2).sum() for one in slope.values())

    if mapped:
        loss = vmap(steepness, in_dims=(None, 0, 0))(phi, s, h).mean()
    else:
        loss = torch.stack([steepness(phi, *task) for task in zip(s, h, strict=True)]).mean()
    return dict(zip(phi, torch.autograd.grad(loss, list(phi.values())), strict=True))


def test_second_order_under_vmap(monkeypatch):
    """Control: with torch's own affine layer norm the loop gives the same, and vmap another gradient (test_torch_faults.py)."""
    block = Block(8, 2, 0.5, torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    s, h = torch.randn(3, 6, 8), torch.randn(3, 4, 8)
    want = slope_of_the_gradient(block, s, h, mapped=False)
    assert_same(slope_of_the_gradient(block, s, h, mapped=True), want)
    native = lambda self, h: F.layer_norm(h, h.shape[-1:], self.weight, self.bias)
    monkeypatch.setattr(transformer.Norm, "forward", native)
    assert_same(slope_of_the_gradient(block, s, h, mapped=False), want)
    with pytest.raises(AssertionError):
        assert_same(slope_of_the_gradient(block, s, h, mapped=True), want, tolerance=1e-5)


@pytest.mark.compiled
@pytest.mark.needs("a C++ compiler")
@pytest.mark.filterwarnings("ignore")
def test_compiled(monkeypatch):
    """Traced whole, to the door of the code generator."""
    import functools

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    learner, batch, compiled = a_learner(depth=1), [an_episode(1, 1), an_episode(1, 1)], Compiled()
    assert_same(qs.meta_gradient(learner, batch, executor=compiled)[1], qs.meta_gradient(learner, batch)[1])
    assert compiled.overflow == 0


# ---- checks, sizes, errors -----------------------------------------------------------------------------------------------


def test_state_is_the_memory_of_every_layer_and_the_head_of_the_classes_at_hand():
    state = a_learner().adapt(an_episode(shots=4).support).state.values
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert shapes == {"keys": (2, 2, 12, 4), "values": (2, 2, 12, 4), "weight": (8, 3), "bias": (3,)}


def test_weights_come_from_the_generator_alone():
    state = torch.random.get_rng_state()
    seeded = lambda seed: InContext(features=2, width=8, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(seeded(1).A, seeded(1).A)
    assert torch.equal(InContext(features=2, width=8).blocks[3].Q, InContext(features=2, width=8).blocks[3].Q)
    assert not torch.equal(seeded(1).A, seeded(2).A)
    assert "generator" not in seeded(1).arguments


def test_relabelling_is_not_built_in():
    """What `label_equivariant` = False says, shown."""
    learner = a_learner()
    learner.label_equivariant = True
    with pytest.raises(testing.ConformanceError, match="renumbering"):
        testing.check_labels(learner, an_episode())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"width": 10, "heads": 4}, r"`width`: expected a multiple of heads=4, got 10\. Give width=12"),
        ({"features": 0}, r"`features`: expected 1 or more, got 0"),
        ({"depth": 0}, r"`depth`: expected 1 or more, got 0"),
    ],
)
def test_sizes_that_are_none(arguments, text):
    with pytest.raises(ArgumentError, match=text):
        InContext(**{"features": 3, **arguments})


def test_support_sets_that_it_cannot_read():
    learner = a_learner()
    with pytest.raises(LabelError, match=r"`support\.y`: expected at most max_ways=4 classes, got 5\. Build and meta-train"):
        learner.adapt(qs.Examples(torch.randn(5, FEATURES), torch.arange(5)))
    with pytest.raises(LabelError, match=r"`support\.y`: expected class labels"):
        learner.adapt(qs.Examples(torch.randn(5, FEATURES), torch.randn(5, 1)))
    with pytest.raises(ShapeError, match=r"`features`: expected an embedding of shape \(examples, 5\), got \(2, 7\)"):
        learner.adapt(qs.Examples(torch.randn(2, 7), torch.arange(2)))
