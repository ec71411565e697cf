"""Kinds of target: losses and scores against their formulas, what fits and what does not, through every door of the library."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from seqeval.metrics import f1_score
from torch import nn

import quickstudy as qs
from quickstudy import targets
from quickstudy.episode import stack
from quickstudy.errors import ArgumentError, LabelError, NotFiniteError, ShapeError, UnsupportedError
from quickstudy.evaluation.metrics import Metric
from quickstudy.targets import Binary, Labels, MultiLabel, SoftLabels, TokenLabels, Values

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

N, D, WAYS, LENGTH = 6, 4, 3, 5
nan = math.nan


class Tokens(nn.Module):
    """(n, LENGTH * D) -> (n, LENGTH, WAYS)."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(D, WAYS)

    def forward(self, x):
        return self.linear(x.reshape(-1, LENGTH, D))


class Pairs(nn.Module):
    """(n, D) -> (n, 2, 2): mean and log variance of two values."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(D, 4)

    def forward(self, x):
        return self.linear(x).reshape(-1, 2, 2)


class One(nn.Module):
    """(n, D) -> (n,)."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(D, 1)

    def forward(self, x):
        return self.linear(x)[:, 0]


def drawn(kind, generator, n=N):
    """x and y of a kind, with both of everything that counts."""
    x = torch.randn(n, LENGTH * D if isinstance(kind, TokenLabels) else D, generator=generator)
    if isinstance(kind, Labels):
        return x, torch.arange(n) % WAYS
    if isinstance(kind, SoftLabels):
        return x, torch.rand(n, WAYS, generator=generator, dtype=torch.float64).softmax(1)
    if isinstance(kind, Values):
        return x, torch.randn(n, 2, generator=generator)
    if isinstance(kind, MultiLabel):
        y = (torch.arange(n * WAYS).reshape(n, WAYS) % 2 == 0).to(x.dtype)
        y[0, 1] = y[2, 2] = nan
        return x, y
    if isinstance(kind, Binary):
        return x, (torch.arange(n) % 2).to(x.dtype)
    y = torch.randint(WAYS, (n, LENGTH), generator=generator)
    y[:, -1], y[0, 0] = targets.NONE, targets.NONE
    return x, y


KINDS = {
    "labels": (Labels(WAYS), lambda: nn.Linear(D, WAYS)),
    "shares": (SoftLabels(WAYS), lambda: nn.Linear(D, WAYS)),
    "values": (Values(), lambda: nn.Linear(D, 2)),
    "values, normal": (Values("normal"), Pairs),
    "several labels": (MultiLabel(), lambda: nn.Linear(D, WAYS)),
    "binary": (Binary(), One),
    "binary, two outputs": (Binary(), lambda: nn.Linear(D, 2)),
    "labels of tokens": (TokenLabels(WAYS, names=("O", "B", "I")), Tokens),
}


def case(name, seed=0):
    """The kind, a network for it and an episode of it, in float64."""
    kind, network = KINDS[name]
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    part = lambda: qs.Examples(
        *(leaf.double() if leaf.is_floating_point() else leaf for leaf in drawn(kind, generator)), target=kind
    )
    return kind, network().double(), qs.Episode(part(), part())


every = pytest.mark.parametrize("name", KINDS)


# ---- the losses ----------------------------------------------------------------------------------------------------------


def by_hand(kind, z, y):
    """The loss, one number after another."""
    total, count = 0.0, 0
    for i in range(len(y)):
        if isinstance(kind, Labels):
            terms = [-z[i].log_softmax(0)[y[i]]]
        elif isinstance(kind, SoftLabels):
            terms = [sum(y[i, k] * -z[i].log_softmax(0)[k] for k in range(WAYS))]
        elif isinstance(kind, Values) and kind.distribution is None:
            terms = [(z[i, j] - y[i, j]) ** 2 for j in range(2)]
        elif isinstance(kind, Values):
            terms = [-torch.distributions.Normal(z[i, j, 0], (z[i, j, 1] / 2).exp()).log_prob(y[i, j]) for j in range(2)]
        elif isinstance(kind, MultiLabel):
            known = [j for j in range(WAYS) if not y[i, j].isnan()]
            terms = [-(z[i, j] if y[i, j] == 1 else -z[i, j]).sigmoid().log() for j in known]
        elif isinstance(kind, Binary):
            p = z[i].sigmoid() if z.ndim == 1 else z[i].softmax(0)[1]
            terms = [-(p if y[i] == 1 else 1 - p).log()]
        else:
            terms = [-z[i, t].log_softmax(0)[y[i, t]] for t in range(LENGTH) if y[i, t] != -100]
        total, count = total + sum(terms), count + len(terms)
    return total / count


@every
def test_a_loss_and_its_gradient_are_those_of_the_formula(name):
    kind, network, episode = case(name)
    z = network(episode.query.x).detach().requires_grad_()
    got, want = kind.loss(z, episode.query.y), by_hand(kind, z, episode.query.y)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
    (g,), (h,) = torch.autograd.grad(got, z), torch.autograd.grad(want, z)
    torch.testing.assert_close(g, h, rtol=1e-10, atol=1e-12)
    assert float(g.abs().max()) > 1e-3


@every
def test_the_loss_of_all_is_that_of_each(name):
    kind, network, episode = case(name)
    z, y = network(episode.query.x), episode.query.y
    each = kind.each(z, y)
    assert each.shape == (N,)
    one_by_one = torch.stack([kind.mean(z[i : i + 1], y[i : i + 1]) for i in range(N)])
    torch.testing.assert_close(each, one_by_one)


@pytest.mark.parametrize("name", ["several labels", "labels of tokens"])
def test_what_is_not_known_does_not_count(name):
    """Neither in the loss nor in its gradient; where nothing is known, the loss is 0 and no NaN."""
    kind, network, episode = case(name)
    y = episode.query.y
    hidden = y.isnan() if name == "several labels" else y == targets.NONE
    z = network(episode.query.x).detach().requires_grad_()
    moved = z.detach() + 7.0 * (hidden if name == "several labels" else hidden[..., None])
    assert float(kind.loss(z.detach(), y)) == float(kind.loss(moved, y))
    (g,) = torch.autograd.grad(kind.loss(z, y), z)
    assert float(g[hidden].abs().max()) == 0
    assert float(g[~hidden].abs().min()) > 0
    nothing = torch.full_like(y, nan if name == "several labels" else targets.NONE)
    (g,) = torch.autograd.grad(kind.loss(z, nothing), z)
    assert (float(kind.loss(z.detach(), nothing)), float(g.abs().max())) == (0.0, 0.0)


# ---- through the library -------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("executor", ["loop", "threads", "vmap"])
def test_a_meta_gradient_of_every_kind(name, executor):
    kind, network, _ = case(name)
    learner = qs.MAML(network, inner_lr=0.1, inner_steps=2)
    episodes = [case(name, seed)[2] for seed in range(3)]
    loss, gradient = qs.meta_gradient(learner, stack(episodes), executor=executor)
    parameters = list(network.parameters())
    total = 0
    for episode in episodes:
        theta = dict(network.named_parameters())
        for _ in range(2):
            inner = by_hand(kind, torch.func.functional_call(network, theta, (episode.support.x,)), episode.support.y)
            g = torch.autograd.grad(inner, list(theta.values()), create_graph=True)
            theta = {key: value - 0.1 * own for (key, value), own in zip(theta.items(), g, strict=True)}
        total = total + by_hand(kind, torch.func.functional_call(network, theta, (episode.query.x,)), episode.query.y) / 3
    torch.testing.assert_close(loss, total.detach(), rtol=1e-10, atol=1e-12)
    for got, want in zip(gradient.values(), torch.autograd.grad(total, parameters), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-10)


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["several labels", "labels of tokens"])
def test_a_compiled_meta_gradient(name, monkeypatch):
    import functools

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    _, network, _ = case(name)
    batch, learner = stack([case(name, seed)[2] for seed in range(2)]), qs.MAML(network, inner_lr=0.1)
    want = qs.meta_gradient(learner, batch)[1]
    for key, got in qs.meta_gradient(learner, batch, executor="compiled")[1].items():
        torch.testing.assert_close(got, want[key], rtol=1e-8, atol=1e-10)


@every
def test_a_predictor_of_every_kind_answers_and_is_saved(name, tmp_path):
    kind, network, episode = case(name)
    predictor = qs.MAML(network, inner_lr=0.1).adapt(episode.support)
    predictor.save(tmp_path / "p")
    loaded = qs.load(tmp_path / "p", network=network)
    assert loaded.target == kind
    answer, read = predictor(episode.query.x), predictor.predict(episode.query.x)
    assert read.shape == episode.query.y.shape
    assert np.array_equal(loaded.predict(episode.query.x), read)
    if isinstance(kind, Values):
        with pytest.raises(UnsupportedError, match="`predict_proba`: expected a task with classes, got Values"):
            predictor.predict_proba(episode.query.x)
        return
    p = predictor.predict_proba(episode.query.x)
    assert bool(((p >= 0) & (p <= 1)).all())
    if isinstance(kind, Labels | TokenLabels):
        torch.testing.assert_close(p.sum(-1), torch.ones_like(p.sum(-1)))
        assert np.array_equal(kind.named(p.argmax(-1)), read)
    elif isinstance(kind, SoftLabels):
        assert torch.equal(p, read)
    else:
        assert torch.equal((p > 0.5).double(), read.double())
    assert answer.dtype == torch.float64


@every
def test_an_ensemble_averages_what_its_kind_asks_for(name):
    kind, network, episode = case(name)
    learner = qs.MAML(network, inner_lr=0.1)
    other = {key: value + 0.3 * torch.randn_like(value) for key, value in learner.state_dict().items()}
    together = qs.Ensemble.of(learner, [learner.state_dict(), other])
    answers = torch.stack([member.adapt(episode.support)(episode.query.x) for member in together.members])
    got = together.adapt(episode.support)(episode.query.x)
    if isinstance(kind, Values):
        torch.testing.assert_close(got, answers.mean(0))
        return
    if isinstance(kind, Binary) and answers.ndim == 3:
        each = answers.softmax(-1)[..., 1]
        torch.testing.assert_close(kind.probabilities(got), each.mean(0), rtol=1e-6, atol=1e-8)
        return
    torch.testing.assert_close(kind.probabilities(got), torch.stack([kind.probabilities(one) for one in answers]).mean(0))


# ---- what does not fit ---------------------------------------------------------------------------------------------------


def values(y, outputs):
    """A learner of so many outputs (None: none of that axis), and an episode with y of this shape."""
    x = torch.randn(N, D)
    network = One() if outputs is None else nn.Linear(D, outputs)
    return network, qs.Episode(qs.Examples(x, torch.randn(N, *y)), qs.Examples(x, torch.randn(N, *y)))


SHAPES = {
    "(N,) against (N, 1)": ((), 1),
    "(N, 1) against (N,)": ((1,), None),
    "(N, 1) against (N, 2)": ((1,), 2),
    "(N, 3)": ((3,), 1),
}


class Fixed:
    """One episode, drawn again and again."""

    def __init__(self, episode):
        self.episode, self.protocol, self.ways = episode, {"ways": episode.query.ways, "shots": N, "queries": N}, None

    def sample(self, n, *, generator=None):
        return stack([self.episode] * n)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("door", ["adapt", "loss", "meta_gradient", "evaluate", "evaluate, own loss"])
def test_values_of_another_shape_never_broadcast(name, door):
    """y (N,) against outputs (N, 1) was N x N numbers, and every prediction the mean; a head (N, 2) was scored against (N, 1)."""
    network, episode = values(*SHAPES[name])
    own = (lambda p, y: ((p - y.reshape(N, -1)[:, :1].reshape(N, *[1] * (p.ndim - 1))) ** 2).mean()) if "own" in door else None
    learner = qs.MAML(network, inner_lr=0.01, loss=own)
    doors = {
        "adapt": lambda: learner.adapt(episode.support),
        "loss": lambda: learner.loss(episode),
        "meta_gradient": lambda: qs.meta_gradient(learner, [episode], executor="vmap"),
        "evaluate": lambda: qs.evaluate(learner, Fixed(episode), 4),
        "evaluate, own loss": lambda: qs.evaluate(learner, Fixed(episode), 4),
    }
    with pytest.raises(ShapeError, match="`prediction`: expected for y of shape"):
        doors[door]()


@pytest.mark.parametrize(("shape", "outputs"), [((), 1), ((1,), None)])
def test_an_own_loss_that_would_broadcast_is_refused_in_training(shape, outputs):
    network, episode = values(shape, outputs)
    learner = qs.MAML(network, inner_lr=0.01, loss=lambda p, y: ((p - y) ** 2).mean())
    with pytest.raises(ShapeError, match="`prediction`: expected for y of shape"):
        learner.loss(episode)


def test_an_own_loss_may_ask_for_other_outputs():
    """The parameters of a distribution, where as many numbers would not broadcast."""
    network, episode = values((1,), 2)
    nll = lambda p, y: (p[:, 1:] + (y - p[:, :1]) ** 2 * (-p[:, 1:]).exp()).mean()
    learner = qs.MAML(network, inner_lr=0.01, loss=nll)
    assert qs.evaluate(learner, Fixed(episode), 4, metrics=["loss"]).mean == pytest.approx(float(learner.loss(episode).detach()))
    width = Metric("width", lambda p, y, target: (p[:, 1] / 2).exp().mean(), higher_is_better=False)
    answer = learner.adapt(episode.support)(episode.query.x)
    assert qs.evaluate(learner, Fixed(episode), 4, metrics=[width]).mean == pytest.approx(float((answer[:, 1] / 2).exp().mean()))
    with pytest.raises(ShapeError, match="`prediction`: expected for y of shape"):
        qs.evaluate(learner, Fixed(episode), 4, metrics=[width, "mse"])


@pytest.mark.parametrize("executor", ["loop", "vmap"])
def test_fewer_logits_than_classes(executor):
    episode = case("labels")[2]
    with pytest.raises(ShapeError, match=r"`prediction`: expected for y of shape \(6,\), Labels\(count=3\)"):
        qs.meta_gradient(qs.MAML(nn.Linear(D, 2).double()), [episode], executor=executor)


def test_more_logits_than_classes_are_no_answer():
    """A network of 20 outputs answers 3 classes: what it says of the others moves neither loss, score nor probability."""
    episode = case("labels")[2]
    kind, z = Labels(WAYS), torch.randn(N, 20, dtype=torch.float64)
    z[:, 7] = 50.0
    torch.testing.assert_close(kind.loss(z, episode.query.y), kind.loss(z[:, :WAYS], episode.query.y))
    assert int(kind.read(z).max()) < WAYS
    assert kind.probabilities(z).shape == (N, WAYS)


Y = torch.arange(N) % WAYS
WRONG = {
    "a label too large": ((Y, 2), LabelError, "expected labels from 0 to 1, of 2 classes, got the label 2"),
    "a label below 0": ((Y - 1, 3), LabelError, "expected labels from 0 to 2, of 3 classes, got the label -1"),
    "a column": ((Y[:, None], None), LabelError, r"Take the column, y\[:, 0\]"),
    "other integers": ((Y.int(), None, Values()), LabelError, r"class labels are int64, y\.long\(\)"),
    "labels as numbers": ((Y.float(), 3), LabelError, "expected labels, int64 .examples,., or of a batch"),
    "both": ((Y, 3, Values()), ArgumentError, "`ways`: expected `ways` or `target`, got both"),
    "three as several labels": ((torch.full((N, 2), 3.0), None, MultiLabel()), LabelError, r"with the values \[3.0\]"),
    "names for other columns": ((torch.zeros(N, 2), None, MultiLabel(("a",))), LabelError, "expected 1 columns"),
    "truth values": ((torch.ones(N, dtype=torch.bool), None, Binary()), LabelError, r"Convert truth values with y.float\(\)"),
    "NaN where all is known": ((torch.full((N,), nan), None, Binary()), LabelError, "expected 0 and 1, in 1 axes"),
    "shares of another sum": (
        (torch.full((N, 3), 0.5), None, SoftLabels(3)),
        LabelError,
        "each row from 0 to 1 with sum 1, got y",
    ),
    "shares of other classes": (
        (torch.full((N, 2), 0.5), None, SoftLabels(3)),
        LabelError,
        r"got .* \(6, 2\)\. Divide each",
    ),
    "tokens too large": ((torch.full((N, 4), 3), None, TokenLabels(3)), LabelError, "got the label 3"),
    "tokens of one axis": ((Y, None, TokenLabels(3)), LabelError, "expected labels, int64 .examples, length."),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_y_that_is_not_of_its_kind(name):
    (y, ways, *target), error, text = WRONG[name]
    with pytest.raises(error, match=text):
        qs.Examples(torch.zeros(N, D), y, ways, target=target[0] if target else None)


def test_kinds_that_cannot_be():
    with pytest.raises(ArgumentError, match="`names`: expected 3 names"):
        TokenLabels(3, names=("a",))
    with pytest.raises(ArgumentError, match="`distribution`: expected None or 'normal', got 'cauchy'"):
        Values("cauchy")
    with pytest.raises(ArgumentError, match=r"`TokenLabels\(count\)`: expected 1 or more"):
        TokenLabels(0)


def test_a_missing_label_is_no_fault_of_the_support_and_an_infinite_one_is():
    _, network, episode = case("several labels")
    assert bool(torch.isfinite(qs.MAML(network).adapt(episode.support)(episode.query.x)).all())
    broken = episode.support.like(episode.support.x.clone().fill_(nan), episode.support.y)
    with pytest.raises(NotFiniteError, match="`support`: expected finite numbers"):
        qs.MAML(network).adapt(broken)


# ---- scores --------------------------------------------------------------------------------------------------------------


def auc(p, y):
    """The share of pairs (yes, no) in their order, ties half."""
    pairs = [(a, b) for a, b in itertools.product(p[y == 1].tolist(), p[y == 0].tolist())]
    return sum((a > b) + 0.5 * (a == b) for a, b in pairs) / len(pairs)


def average_precision(p, y):
    """The mean over the yeses, by rank, of the precision there; without ties."""
    ranked = y[p.argsort(descending=True)]
    return float(torch.stack([ranked[: i + 1].double().mean() for i in range(len(y)) if ranked[i] == 1]).mean())


@every
def test_scores_are_those_of_the_formulas(name):
    kind, network, _ = case(name)
    learner = qs.MAML(network, inner_lr=0.1)
    episodes = [case(name, seed)[2] for seed in range(4)]

    class Listed(Fixed):
        def sample(self, n, *, generator=None):
            return stack(episodes[:n])

    found = qs.evaluate(learner, Listed(episodes[0]), 4)
    scores = {found.protocol["metric"]: found.per_episode, **{key: one.per_episode for key, one in found.others.items()}}
    for i, episode in enumerate(episodes):
        z, y = learner.adapt(episode.support)(episode.query.x), episode.query.y
        if isinstance(kind, Labels):
            want = {"accuracy": float((z.argmax(1) == y).double().mean())}
        elif isinstance(kind, SoftLabels):
            want = {"nll": float(by_hand(kind, z, y))}
        elif isinstance(kind, Values):
            mean = z if kind.distribution is None else z[..., 0]
            want = {"rmse": float(((mean - y) ** 2).mean().sqrt())}
            want |= {"mse": float(((z - y) ** 2).mean())} if kind.distribution is None else {"nll": float(by_hand(kind, z, y))}
        elif isinstance(kind, Binary):
            p = z if z.ndim == 1 else z[:, 1] - z[:, 0]
            want = {"roc_auc": auc(p, y), "average_precision": average_precision(p, y)}
        elif isinstance(kind, MultiLabel):
            known = ~y.isnan()
            each = [average_precision(z[known[:, j], j], y[known[:, j], j]) for j in range(WAYS)]
            want = {"mean_average_precision": sum(each) / WAYS, "accuracy": float(((z > 0) == (y == 1))[known].double().mean())}
        else:
            known = y != targets.NONE
            want = {"token_accuracy": float((z.argmax(-1) == y)[known].double().mean())}
            said = [[[kind.names[k] for k in row[known[i]].tolist()] for i, row in enumerate(one)] for one in (y, z.argmax(-1))]
            want |= {"span_f1": f1_score(*said)}
        assert want.keys() == scores.keys()
        for metric, value in want.items():
            assert scores[metric][i] == pytest.approx(value, rel=1e-5), metric
    for metric in scores:
        assert found.others.get(metric, found.score).ci95 == pytest.approx(
            1.96 * float(torch.tensor(scores[metric], dtype=torch.float64).std()) / 2, rel=1e-6
        )


def binary_tasks(yes):
    """Queries of which task i has yes[i] positives."""

    class Some(Fixed):
        def sample(self, n, *, generator=None):
            made = []
            for count in yes[:n]:
                y = (torch.arange(N) < count).double()
                x = torch.randn(N, D, dtype=torch.float64)
                made.append(qs.Episode(case("binary")[2].support, qs.Examples(x, y, target=Binary())))
            return stack(made)

    return Some(case("binary")[2])


def test_a_score_that_a_task_leaves_undefined_is_left_out_and_said():
    learner = qs.MAML(One().double(), inner_lr=0.1)
    found = qs.evaluate(learner, binary_tasks([3, 0, 2, N]), 4)
    assert [math.isnan(one) for one in found.per_episode] == [False, True, False, True]
    assert found.mean == pytest.approx((found.per_episode[0] + found.per_episode[2]) / 2)
    assert "(undefined in 2 tasks)" in str(found)
    assert [math.isnan(one) for one in found.others["average_precision"].per_episode] == [False, True, False, False]
    with pytest.raises(NotFiniteError, match="a metric that two or more episodes define"):
        qs.evaluate(learner, binary_tasks([3, 0, 0, N]), 4)


def test_metrics_are_chosen_by_name_or_made():
    tasks, learner = qs.tasks.GaussianClasses(ways=3, dim=D, shots=2, queries=5).test, qs.NearestCentroid()
    found = qs.evaluate(learner, tasks, 20, metrics=["macro_f1", "accuracy", "nll", "loss"])
    assert found.protocol["metric"] == "macro_f1"
    assert list(found.others) == ["accuracy", "nll", "loss"]
    assert found.others["accuracy"].mean == pytest.approx(qs.evaluate(learner, tasks, 20).mean)
    assert found.others["loss"].mean == pytest.approx(found.others["nll"].mean, rel=1e-5)
    for words in ("macro f1", "accuracy", "negative log likelihood", "loss"):
        assert words in str(found)
    wrong = Metric("errors", lambda p, y, target: (target.read(p) != y).sum(), higher_is_better=False)
    counted = qs.evaluate(learner, tasks, 20, metrics=[wrong])
    assert counted.mean == pytest.approx(15 * (1 - found.others["accuracy"].mean))
    assert "errors" in str(counted)
    for metrics, error, text in (
        (["acuracy"], ArgumentError, "`metrics`: expected 'loss', names of .* Did you mean 'accuracy'"),
        (
            ["rmse"],
            UnsupportedError,
            r"`metrics`: expected metrics of Labels\(count=3\): \['loss', 'accuracy', 'macro_f1', 'nll'\]",
        ),
        ([], ArgumentError, "expected a list of names or Metrics"),
        (["nll", "accuracy", "nll"], ArgumentError, r"expected a name for each, got \['nll'\] twice"),
        ([Metric("loss", lambda p, y, target: p.sum())], ArgumentError, "got a Metric named 'loss'"),
    ):
        with pytest.raises(error, match=text):
            qs.evaluate(learner, tasks, 20, metrics=metrics)


def test_compare_by_another_metric():
    tasks = qs.tasks.GaussianClasses(ways=3, dim=D, shots=2, queries=5).test
    both = qs.compare([qs.NearestCentroid(), qs.NearestCentroid(nn.Linear(D, 1))], tasks, 20, metrics=["nll"])
    first, other = both.evaluations
    assert both.differences[0].mean == pytest.approx(first.mean - other.mean)
    assert first.protocol["metric"] == "nll"


# ---- why it is not finite ------------------------------------------------------------------------------------------------


def test_a_class_without_an_example_is_named_and_not_the_rate():
    support = qs.Examples(torch.randn(4, D), torch.tensor([0, 0, 2, 2]), ways=3)
    query = qs.Examples(torch.randn(3, D), torch.arange(3), ways=3)
    with pytest.raises(LabelError, match="expected an example of each of 3 classes, got none of class 1"):
        qs.evaluate(qs.NearestCentroid(), Fixed(qs.Episode(support, query)), 4)
    with pytest.raises(LabelError, match="`support`: expected an example of each of 3 classes, got none of class 1"):
        qs.NearestCentroid().adapt(support)
    network = nn.Linear(D, 3)
    assert bool(torch.isfinite(qs.MAML(network).adapt(support)(query.x)).all()), "descent needs no example of each"


def test_an_infinite_query_is_named():
    episode = case("values")[2]
    episode.query.x[1, 2] = math.inf
    with pytest.raises(NotFiniteError, match="`query of episode 0`: expected finite numbers, got 1 values"):
        qs.evaluate(qs.MAML(nn.Linear(D, 2).double()), Fixed(episode), 4)


# ---- model selection -----------------------------------------------------------------------------------------------------


def several_labels(seed=0):
    """Tasks whose labels follow a rule that all share: meta-training learns it, and its logits grow beyond 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(D, WAYS, generator=generator)
    x = torch.randn(1200, D, generator=generator)
    y = (x @ w > 0).float()
    return x, y, torch.arange(1200) // 40


def test_a_loss_of_ones_own_selects_by_itself():
    """By the squared error of its logits the least trained weights seemed the best: step 15 of 150 was kept."""
    x, y, group = several_labels()
    tasks = qs.tasks.from_groups(x, y, group, shots=10, queries=20)
    bce = nn.functional.binary_cross_entropy_with_logits
    settings = {"steps": 60, "tasks_per_step": 4, "validate_every": 10, "validation_episodes": 20, "executor": "loop"}
    adam = qs.Gradient(optimizer=lambda parameters: torch.optim.Adam(parameters, lr=0.3))
    run = {}
    for select_by in (None, "loss", "mse"):
        torch.manual_seed(0)
        learner = qs.MAML(nn.Linear(D, WAYS), inner_lr=0.1, loss=bce)
        run[select_by] = qs.meta_train(learner, tasks, outer=adam, select_by=select_by, progress=False, **settings)
    assert run[None].best == run["loss"].best
    assert run[None].best["metric"] == "loss"
    assert run[None].best["step"] >= 40, "the loss falls until late"
    assert run["mse"].best["step"] <= 20, "the control: what it was"


def test_several_labels_are_selected_by_their_score():
    x, y, group = several_labels()
    y[::7, 1] = nan
    tasks = qs.tasks.from_groups(x, y, group, shots=10, queries=20, target=MultiLabel())
    learner = qs.MAML(nn.Linear(D, WAYS), inner_lr=0.1)
    before = qs.evaluate(learner, tasks.test, 20).mean
    run = qs.meta_train(
        learner, tasks, steps=30, tasks_per_step=4, validation_episodes=20, executor="vmap", progress=False,
        outer=qs.Gradient(optimizer=lambda parameters: torch.optim.Adam(parameters, lr=0.1)),
    )  # fmt: skip
    assert run.best["metric"] == "mean_average_precision"
    assert qs.evaluate(learner, tasks.test, 20).mean > before + 0.1


def test_what_selects_needs_a_validation():
    tasks = qs.tasks.GaussianClasses(ways=3, dim=D).train
    with pytest.raises(ArgumentError, match="`select_by`: expected a TaskFamily"):
        qs.meta_train(qs.Prototypical(nn.Linear(D, 2)), tasks, steps=1, tasks_per_step=1, select_by="nll", progress=False)


def test_the_command_line_takes_metrics(tmp_path, monkeypatch, capsys):
    import json

    from quickstudy.cli import main

    monkeypatch.chdir(tmp_path)
    words = "train maml --tasks sinusoid --train.steps 3 --train.tasks_per_step 2 --train.validation_episodes 4 --episodes 6"
    words += " --train.executor loop --train.select_by rmse --controls none --out r"
    assert main(words.split()) == 0
    assert "mean squared error" in capsys.readouterr().out
    found = json.loads((tmp_path / "r" / "evaluation.json").read_text())
    assert found["others"]["rmse"]["per_episode"] == pytest.approx([one**0.5 for one in found["per_episode"]])
    assert main(["evaluate", "r", "--episodes", "6", "--metrics", "mae,loss", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["protocol"]["metric"], list(record["others"])) == ("mae", ["loss"])
    assert record["others"]["loss"]["mean"] == pytest.approx(found["mean"])
    assert main(["evaluate", "r", "--episodes", "6", "--metrics", "accuracy"]) == 2
    assert "`metrics`: expected metrics of Values(distribution=None)" in capsys.readouterr().err


def test_a_paired_difference_is_of_tasks_that_define_both():
    learner = qs.MAML(One().double(), inner_lr=0.1)
    both = qs.compare([learner, qs.MAML(One().double(), inner_lr=0.1)], binary_tasks([3, 0, 2, N]), 4)
    assert math.isfinite(both.differences[0].mean)
