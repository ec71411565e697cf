"""SNAIL against a whole-sequence pass written with torch's own convolution and attention; and its causality, exactly."""

import pytest
import torch
import torch.nn.functional as F
from tests.checks.learners import stirred
from tests.exact.quadratic import assert_slopes_agree, finite_differences
from tests.meta.executors.networks import assert_same
from torch import nn
from torch.autograd import gradcheck

import quickstudy as qs
from quickstudy import testing
from quickstudy.errors import ArgumentError, LabelError, ShapeError
from quickstudy.learners.read.snail import SNAIL, Attention, Convolution
from quickstudy.meta.executors import Compiled

WAYS, FEATURES = 3, 5


def a_learner(embed=None, **arguments):
    arguments = {"max_ways": WAYS + 1, "length": 10, "filters": 4, "attention": ((4, 3), (3, 2)), **arguments}
    return stirred(SNAIL(embed or nn.Identity(), FEATURES, **arguments), 0.3)


def an_episode(shots=3, queries=2):
    draw = lambda n: qs.Examples(torch.randn(WAYS * n, FEATURES), torch.randperm(WAYS * n) % WAYS, WAYS)
    return qs.Episode(draw(shots), draw(queries))


def one_block(block, s, causal=True):
    """What a block adds to a sequence, by F.conv1d and F.scaled_dot_product_attention."""
    if isinstance(block, Attention):
        query, keys, values = s @ block.Q + block.q, s @ block.K, s @ block.V + block.v
        return F.scaled_dot_product_attention(query[None], keys[None], values[None], is_causal=causal)[0]
    R = block.dilation
    kernel = torch.stack([block.A.T, block.B.T], 2)
    before = F.pad(s.T[None], (R, 0) if causal else (0, R))
    c, g = F.conv1d(before, kernel, block.b, dilation=R)[0].T.chunk(2, 1)
    return torch.tanh(c) * torch.sigmoid(g)


def sequence(learner, support, query, causal=True):
    """Logits at every place of one sequence: the support, and one query (1, features) last."""
    label = F.one_hot(support.y, learner.max_ways).to(support.x.dtype)
    s = torch.cat([torch.cat([support.x, label], 1), F.pad(query, (0, learner.max_ways))])
    for block in learner.blocks:
        s = torch.cat([s, one_block(block, s, causal)], 1)
    return (s @ learner.W + learner.w)[:, : support.ways]


@pytest.mark.parametrize("sizes", [{}, {"length": 2, "attention": ((4, 3),)}, {"length": 17}, {"length": 3}])
def test_learn_and_predict_are_the_last_place_of_one_sequence(sizes):
    """Answers and every gradient, one sequence for each query. Control: the same pass that sees later places."""
    learner, episode = a_learner(**sizes), an_episode()
    passes = lambda causal=True: torch.stack([sequence(learner, episode.support, x[None], causal)[-1] for x in episode.query.x])
    got = learner(episode.support, episode.query.x)
    torch.testing.assert_close(got, passes(), rtol=1e-10, atol=1e-11)
    _, gradient = qs.meta_gradient(learner, [episode])
    phi = dict(learner.named_parameters())
    of = lambda answer: dict(
        zip(phi, torch.autograd.grad(F.cross_entropy(answer, episode.query.y), list(phi.values())), strict=True)
    )
    assert_same(gradient, of(passes()))
    if len(learner.blocks) > 1:  # of one attention block alone the last place sees all anyway
        with pytest.raises(AssertionError):
            assert_same(gradient, of(passes(causal=False)), tolerance=1e-3)


def seen(function, s):
    """Whether the output at t depends on the input at u: (t, u)."""
    return torch.autograd.functional.jacobian(function, s).abs().sum((1, 3)) > 0


@pytest.mark.parametrize("kind", ["attention", "convolution", "whole"])
def test_the_output_at_t_does_not_depend_on_what_comes_after_t_exactly(kind):
    """d out_t / d in_u is the number 0 for u > t; for u = t, and for some u < t, it is not. Control: without the mask."""
    generator = torch.Generator().manual_seed(0)
    s = torch.randn(7, 6)
    if kind == "whole":
        learner = a_learner(length=7)
        blocks = lambda causal: lambda z: stacked(learner.blocks, torch.cat([z, s[:, :4]], 1), causal)
        s_in = torch.randn(7, FEATURES)
        ours = seen(lambda z: stacked(learner.blocks, torch.cat([z, s[:, :4]], 1), None), s_in)
        open_ = seen(blocks(False), s_in)
    else:
        make = Attention(6, 3, 2, generator) if kind == "attention" else Convolution(6, 3, 2, generator)
        block, s_in = stirred(make, 0.3), s
        ours, open_ = seen(block, s_in), seen(lambda s: one_block(block, s, causal=False), s_in)
    earlier = torch.ones(7, 7, dtype=torch.bool).tril()
    assert not (ours & ~earlier).any()
    assert ours.diagonal().all()
    assert (ours & earlier).sum() > 7
    assert (open_ & ~earlier).any()
    if kind == "convolution":  # itself and two places before, no other
        assert torch.equal(ours, torch.eye(7, dtype=torch.bool) | torch.diag(torch.ones(5), -2).bool())
    else:
        assert torch.equal(ours, earlier)


def stacked(blocks, s, causal):
    """The places after all blocks: by the page (causal None), or by `one_block`."""
    for block in blocks:
        s = torch.cat([s, block(s) if causal is None else one_block(block, s, causal)], 1)
    return s


def test_convolutions_span_the_sequence_and_not_more():
    """Without attention in between, the first place reaches the last one iff the length was said. Control: a shorter one."""
    for length, reached in ((9, True), (4, False)):
        learner = a_learner(length=length, attention=((4, 3), (3, 2)))
        convolutions = [block for block in learner.blocks if isinstance(block, Convolution)]

        def last(s, convolutions=convolutions):
            for block in convolutions:  # their channels begin after the first attention block's, which is left at 0
                s = torch.cat([s, block(s)], 1)
            return s[-1:]

        s = torch.randn(9, convolutions[0].A.shape[0])
        assert bool(seen(last, s)[0, 0]) == reached


def test_no_query_sees_another_exactly_and_each_sees_the_whole_support():
    learner, episode = a_learner(), an_episode()
    x, support = episode.query.x, episode.support
    assert torch.equal(seen(lambda x: learner(support, x), x), torch.eye(len(x), dtype=torch.bool))
    slopes = torch.autograd.functional.jacobian(lambda own: learner(qs.Examples(own, support.y, WAYS), x), support.x)
    assert (slopes.abs().sum((1, 3)) > 0).all()
    answer = learner(support, x)
    for row in range(len(support)):
        y = support.y.clone()
        y[row] = (y[row] + 1) % WAYS
        assert not torch.allclose(learner(qs.Examples(support.x, y, WAYS), x), answer)


@pytest.mark.parametrize("check", ["order", "labels"])
def test_what_it_declares_not_to_keep_it_does_not_keep(check):
    learner = a_learner()
    learner.order_invariant = learner.label_equivariant = True
    with pytest.raises(testing.ConformanceError):
        getattr(testing, f"check_{check}")(learner, an_episode())


def test_derivatives_of_the_blocks_and_of_the_loss():
    generator = torch.Generator().manual_seed(0)
    for block in (Attention(4, 3, 2, generator), Convolution(4, 3, 2, generator)):
        block = stirred(block, 0.3)
        assert gradcheck(block, torch.randn(5, 4, requires_grad=True))
        assert gradcheck(block.last, (torch.randn(2, 4, requires_grad=True), torch.randn(5, 4, requires_grad=True)))
    learner = a_learner(nn.Sequential(nn.Linear(4, FEATURES), nn.Tanh()))
    draw = lambda n: qs.Examples(torch.randn(n, 4), torch.arange(n) % WAYS, WAYS)
    slopes = finite_differences(learner, [qs.Episode(draw(9), draw(5))])
    assert_slopes_agree(slopes)


@pytest.mark.compiled
@pytest.mark.needs("a C++ compiler")
@pytest.mark.filterwarnings("ignore")
def test_compiled(monkeypatch):
    """Traced whole, to the door of the code generator."""
    import functools

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    learner, compiled = a_learner(length=2, attention=((2, 2), (2, 2))), Compiled()
    batch = [an_episode(1, 1), an_episode(1, 1)]
    assert_same(qs.meta_gradient(learner, batch, executor=compiled)[1], qs.meta_gradient(learner, batch)[1])
    assert compiled.overflow == 0


def test_state_is_the_places_and_the_head_of_the_classes_at_hand():
    learner = a_learner()
    channels = learner.W.shape[0]
    assert channels == FEATURES + WAYS + 1 + 3 + 4 * 4 + 2
    state = learner.adapt(an_episode(shots=4).support).state.values
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert shapes == {"places": (12, channels), "weight": (channels, 3), "bias": (3,)}


def test_weights_come_from_the_generator_alone():
    state = torch.random.get_rng_state()
    made = lambda seed: SNAIL(nn.Identity(), 3, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(made(1).W, made(1).W)
    assert not torch.equal(made(1).W, made(2).W)
    assert torch.equal(state, torch.random.get_rng_state())
    assert "generator" not in made(1).arguments


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"attention": ()}, r"`attention`: expected a \(keys, values\) for each block, got \(\)"),
        ({"attention": ((4, 0),)}, r"`attention`: expected a \(keys, values\)"),
        ({"filters": 0}, r"`filters`: expected 1 or more, got 0"),
    ],
)
def test_sizes_that_are_none(arguments, text):
    with pytest.raises(ArgumentError, match=text):
        SNAIL(nn.Identity(), 3, **arguments)


def test_support_sets_that_it_cannot_read():
    learner = a_learner()
    five = qs.Examples(torch.randn(5, FEATURES), torch.arange(5))
    with pytest.raises(LabelError, match=r"`support\.y`: expected at most max_ways=4 classes, got 5\. Build and meta-train"):
        learner.adapt(five)
    with pytest.raises(LabelError, match=r"`support\.y`: expected class labels"):
        learner.adapt(qs.Examples(torch.randn(5, FEATURES), torch.randn(5, 1)))
    with pytest.raises(ShapeError, match=r"`features`: expected an embedding of shape \(examples, 5\), got \(2, 7\)"):
        learner.adapt(qs.Examples(torch.randn(2, 7), torch.arange(2)))
