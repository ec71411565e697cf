"""Neural processes: what they must not see, the mean that uniform attention is, and the likelihood."""

import pytest
import torch
import torch.nn.functional as F
from tests.checks.learners import stirred
from tests.exact.quadratic import assert_slopes_agree, finite_differences
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.distributions import Independent, Normal

import quickstudy as qs
from quickstudy.errors import ArgumentError, LabelError, ShapeError
from quickstudy.learners.read.neural_process import CrossAttention, MeanPooling, NeuralProcess, NeuralProcessClassifier

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

INPUTS, TARGETS, WIDTH = 2, 3, 12


def a_process(attentive=False, **arguments):
    pooling = CrossAttention(INPUTS, WIDTH, heads=2) if attentive else None
    return stirred(NeuralProcess(INPUTS, TARGETS, pooling=pooling, width=WIDTH, **arguments), 0.3)


def an_episode(examples=6, queries=5):
    draw = lambda n: qs.Examples(torch.randn(n, INPUTS), torch.randn(n, TARGETS))
    return qs.Episode(draw(examples), draw(queries))


def perceptron(network, x):
    """An MLP, by hand."""
    for layer in network.body:
        x = torch.relu(x @ layer.weight.T + layer.bias) if isinstance(layer, nn.Linear) else x
    return x @ network.head.weight.T + network.head.bias


@pytest.mark.parametrize("attentive", [False, True])
def test_equations_by_hand(attentive):
    """One query at a time, one head at a time. Control: the sum in the mean's place, scores without the root of d."""
    learner, episode = a_process(attentive), an_episode()
    support, p = episode.support, learner.pooling
    r = perceptron(learner.h, torch.cat([support.x, support.y], 1))

    def summary(x, mistake):
        if not attentive:
            return r.sum(0) if mistake else r.mean(0)
        answer = []
        for j in range(2):
            head = slice(6 * j, 6 * j + 6)
            query, keys = (perceptron(p.q, z) @ W.weight[head].T for z, W in ((x[None], p.Q), (support.x, p.K)))
            scores = (keys @ query[0]) / (1 if mistake else 6**0.5)
            answer.append(scores.softmax(0) @ (r @ p.V.weight[head].T))
        return torch.cat(answer) @ p.U.weight.T

    def answers(mistake=False):
        rows = [perceptron(learner.g, torch.cat([x, summary(x, mistake)])[None])[0] for x in episode.query.x]
        m, s = torch.stack(rows).chunk(2, 1)
        return m, 0.01 + 0.99 * torch.log(1 + torch.exp(s))

    got = learner.distribution(learner.learn(support), episode.query.x)
    for one, want, wrong in zip((got.mean, got.stddev), answers(), answers(mistake=True), strict=True):
        torch.testing.assert_close(one, want, rtol=1e-9, atol=1e-10)
        assert not torch.allclose(one, wrong, rtol=1e-4)


def test_uniform_attention_is_the_mean():
    """Equal scores (K = 0) and V U = I: the attentive process is the conditional one. Controls: with scores, or other values."""
    conditional, attentive, episode = a_process(), a_process(attentive=True), an_episode()
    with torch.no_grad():
        for name in ("h", "g"):
            getattr(attentive, name).load_state_dict(getattr(conditional, name).state_dict())
        keys = attentive.pooling.K.weight.clone()
        attentive.pooling.K.weight.zero_()
        V = attentive.pooling.V.weight
        attentive.pooling.U.weight.copy_(torch.linalg.inv(V))
        want = conditional(episode.support, episode.query.x)
        torch.testing.assert_close(attentive(episode.support, episode.query.x), want, rtol=1e-8, atol=1e-9)
        attentive.pooling.K.weight.copy_(keys)
        assert not torch.allclose(attentive(episode.support, episode.query.x), want, rtol=1e-3)
        attentive.pooling.K.weight.zero_()
        V.mul_(2.0)
        assert not torch.allclose(attentive(episode.support, episode.query.x), want, rtol=1e-3)


@pytest.mark.parametrize("attentive", [False, True])
def test_the_order_of_the_support_does_not_matter_and_every_point_does(attentive):
    """Exact up to the rounding of a sum. Control: a process that is weighted by place."""
    learner, episode = a_process(attentive), an_episode()
    support, x = episode.support, episode.query.x
    answer = learner(support, x)
    for order in (torch.randperm(6), torch.arange(6).flip(0)):
        torch.testing.assert_close(learner(support.map(lambda leaf: leaf[order]), x), answer, rtol=1e-12, atol=1e-13)  # noqa: B023
    placed = lambda own: learner(qs.Examples(own.x * torch.arange(1, 7)[:, None], own.y), x)
    assert not torch.allclose(placed(support.map(lambda leaf: leaf.flip(0))), placed(support), rtol=1e-3)
    slopes = torch.autograd.functional.jacobian(lambda y: learner(qs.Examples(support.x, y), x), support.y)
    assert (slopes.abs().sum((0, 1, 3)) > 0).all()
    doubled = support.map(lambda leaf: torch.cat([leaf, leaf]))
    torch.testing.assert_close(learner(doubled, x), answer, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("attentive", [False, True])
def test_queries_are_answered_one_by_one_exactly(attentive):
    """d answer_i / d x_j = 0 for i != j. Control: with the mean of the queries taken away they see each other."""
    learner, episode = a_process(attentive), an_episode()
    x, support = episode.query.x, episode.support
    both = lambda x: torch.cat([getattr(learner.distribution(learner.learn(support), x), of) for of in ("mean", "stddev")], 1)
    seen = lambda function: torch.autograd.functional.jacobian(function, x).abs().sum((1, 3)) > 0
    assert torch.equal(seen(both), torch.eye(len(x), dtype=torch.bool))
    assert seen(lambda x: both(x - x.mean(0))).sum() > len(x)


def test_the_loss_is_the_gaussian_negative_log_likelihood():
    """Against torch.distributions and the formula; so for every query, factorised. Control: the variance in sigma's place."""
    learner, episode = a_process(), an_episode()
    answer, y = learner.distribution(learner.learn(episode.support), episode.query.x), episode.query.y
    m, sigma = answer.mean, answer.stddev
    joint = Independent(Normal(m, sigma), 2).log_prob(y)  # one distribution over all queries and targets
    torch.testing.assert_close(-learner.loss(episode) * y.numel(), joint)
    formula = 0.5 * torch.log(2 * torch.pi * sigma**2) + (y - m) ** 2 / (2 * sigma**2)
    torch.testing.assert_close(learner.loss(episode), formula.mean())
    torch.testing.assert_close(learner.log_likelihood(learner.learn(episode.support), episode.query), -formula)
    torch.testing.assert_close(learner.loss(episode), F.gaussian_nll_loss(m, y, sigma**2, full=True))
    assert not torch.allclose(learner.loss(episode), -Normal(m, sigma**2).log_prob(y).mean(), rtol=1e-3)


def test_a_criterion_sees_the_mean():
    learner, episode = a_process(), an_episode()
    mean = learner(episode.support, episode.query.x)
    torch.testing.assert_close(learner.loss(episode, F.mse_loss), F.mse_loss(mean, episode.query.y))
    predictor = learner.adapt(episode.support)
    assert torch.equal(predictor(episode.query.x), predictor.learner.distribution(predictor.state.values, episode.query.x).mean)
    assert not torch.allclose(learner.loss(episode), F.mse_loss(mean, episode.query.y), rtol=1e-2)


def test_sigma_has_its_least():
    learner, episode = a_process(least_std=0.2), an_episode()
    with torch.no_grad():
        learner.g.head.bias[TARGETS:] = -1e4
    sigma = learner.distribution(learner.learn(episode.support), episode.query.x).stddev
    torch.testing.assert_close(sigma, torch.full_like(sigma, 0.2))


def test_the_best_answer_is_the_mean_and_deviation_of_the_targets():
    """With constant inputs a process says one Gaussian, and (6) is least at the targets' own moments: descent finds them."""
    torch.manual_seed(3)
    learner, y = NeuralProcess(1, 1, width=8, least_std=0.001).double(), 2.0 + 0.5 * torch.randn(400, 1)
    episode = qs.Episode(qs.Examples(torch.zeros(5, 1), torch.zeros(5, 1)), qs.Examples(torch.zeros(400, 1), y))
    optimizer = torch.optim.LBFGS(learner.g.head.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = learner.loss(episode)
        loss.backward()
        return loss

    optimizer.step(closure)
    answer = learner.distribution(learner.learn(episode.support), torch.zeros(1, 1))
    torch.testing.assert_close(answer.mean.detach(), y.mean()[None, None], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(answer.stddev.detach(), y.std(correction=0)[None, None], rtol=1e-3, atol=1e-3)


def test_derivatives():
    """Of the attention to two orders, of the whole loss by finite differences."""
    pooling = stirred(CrossAttention(INPUTS, WIDTH, heads=2), 0.3)
    at = lambda x, own, r: pooling.at(pooling.read(own, r), x)
    tensors = [torch.randn(2, INPUTS), torch.randn(3, INPUTS), torch.randn(3, WIDTH)]
    assert gradcheck(at, [one.requires_grad_() for one in tensors])
    assert gradgradcheck(at, tensors)
    for attentive in (False, True):
        assert_slopes_agree(finite_differences(a_process(attentive), [an_episode()]))


# ---- classes -----------------------------------------------------------------------------------------------------------

WAYS, FEATURES = 3, 4


def classes(shots=(3, 1, 2), queries=4):
    y = torch.arange(WAYS).repeat_interleave(torch.tensor(shots))[torch.randperm(sum(shots))]
    draw = lambda y: qs.Examples(torch.randn(len(y), FEATURES), y, WAYS)
    return qs.Episode(draw(y), draw(torch.arange(queries) % WAYS))


def test_classes_by_hand():
    """Every query and class for itself; unequal classes. Control: the mean over all examples in place of that over classes."""
    learner, episode = stirred(NeuralProcessClassifier(nn.Identity(), FEATURES, width=5), 0.3), classes()
    r = perceptron(learner.h, episode.support.x)
    r_k = torch.stack([r[episode.support.y == k].mean(0) for k in range(WAYS)])
    score = lambda x, k, common: perceptron(learner.g, torch.cat([x, r_k[k], common])[None])[0, 0]
    table = lambda common: torch.stack([torch.stack([score(x, k, common) for k in range(WAYS)]) for x in episode.query.x])
    got = learner(episode.support, episode.query.x)
    torch.testing.assert_close(got, table(r_k.mean(0)), rtol=1e-9, atol=1e-10)
    assert not torch.allclose(got, table(r.mean(0)), rtol=1e-4)
    torch.testing.assert_close(learner.loss(episode), F.cross_entropy(got, episode.query.y))


def test_gradient_of_the_classifier_by_finite_differences():
    learner = stirred(NeuralProcessClassifier(nn.Sequential(nn.Linear(FEATURES, 3), nn.Tanh()), 3, width=12), 0.3)
    slopes = finite_differences(learner, [classes()])
    slopes.pop("g.head.bias")  # the same for every class
    assert_slopes_agree(slopes)


# ---- checks, executors, errors -------------------------------------------------------------------------------------------


def test_state_is_the_summary():
    support = an_episode().support
    assert {name: tuple(one.shape) for name, one in a_process().adapt(support).state.values.items()} == {"r": (WIDTH,)}
    shapes = {name: tuple(one.shape) for name, one in a_process(attentive=True).adapt(support).state.values.items()}
    assert shapes == {"keys": (2, 6, 6), "values": (2, 6, 6)}
    r = MeanPooling().read(torch.zeros(2, 1), torch.tensor([[1.0], [3.0]]))["r"]
    assert torch.equal(r, torch.tensor([2.0]))


def test_weights_come_from_the_generator_alone():
    state = torch.random.get_rng_state()
    made = lambda seed: NeuralProcess(width=8, generator=torch.Generator().manual_seed(seed)).g.head.weight
    assert torch.equal(made(1), made(1))
    assert not torch.equal(made(1), made(2))
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"least_std": 0.0}, r"`least_std`: expected a number in \(0, 1\), got 0\.0"),
        ({"width": 0}, r"`width`: expected 1 or more, got 0"),
        (
            {"pooling": CrossAttention(1, 16, heads=2)},
            r"`pooling`: expected CrossAttention\(1, 128\).*got CrossAttention\(1, 16\)",
        ),
    ],
)
def test_arguments_that_do_not_fit(arguments, text):
    with pytest.raises(ArgumentError, match=text):
        NeuralProcess(**arguments)
    with pytest.raises(ArgumentError, match=r"`width`: expected a multiple of heads=3, got 16"):
        CrossAttention(1, 16, heads=3)


def test_support_sets_that_it_cannot_read():
    learner = a_process()
    draw = lambda features, y: qs.Examples(torch.randn(4, features), y)
    with pytest.raises(LabelError, match=r"`support\.y`: expected targets.*got class labels\. For classes take NeuralProcessCl"):
        learner.adapt(draw(INPUTS, torch.arange(4)))
    with pytest.raises(ShapeError, match=r"`y`: expected \(examples, targets=3\), got \(4, 1\)"):
        learner.adapt(draw(INPUTS, torch.randn(4, 1)))
    with pytest.raises(ShapeError, match=r"`x`: expected examples of inputs=2 features, got 5"):
        learner.adapt(draw(5, torch.randn(4, TARGETS)))


@pytest.mark.parametrize("attentive", [False, True])
def test_it_is_saved_with_its_pooling(attentive, tmp_path):
    """MeanPooling has no __init__ of its own: nothing of torch's is asked for."""
    learner = qs.NeuralProcess(pooling=CrossAttention(1, 8, 2) if attentive else MeanPooling(), width=8)
    learner.save(tmp_path)
    loaded = qs.load(tmp_path)
    assert type(loaded.pooling) is type(learner.pooling)
    episode = qs.tasks.GaussianProcess().test.sample(1, generator=torch.Generator().manual_seed(0))[0]
    with torch.no_grad():
        got, want = (one.log_likelihood(one.learn(episode.support), episode.query) for one in (loaded, learner))
        torch.testing.assert_close(got, want, rtol=0, atol=0)
