"""Statistics of norms are a value, keyed by the norm's name."""

import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.forward.context import NORMALISATIONS, Context, source
from quickstudy.learners.outcome import averages


class Towers(qs.Learner):
    """One network for the support, another for queries."""

    def __init__(self, support, query, **options):
        super().__init__(**options)
        self.support, self.query = support, query

    def learn(self, support):
        z = self.support(support.x)
        return {"means": torch.stack([z[support.y == k].mean(0) for k in range(support.ways)])}

    def predict(self, values, x):
        return -torch.cdist(self.query(x), values["means"])


def normed():
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5))


def labelled(n=6):
    return qs.Examples(torch.randn(n, 4), torch.arange(n) % 3, 3)


def test_a_norm_that_has_not_seen_the_support_is_named():
    """By call order the query's tower was normalised with the other's statistics, without a word."""
    with pytest.raises(errors.UnsupportedError) as caught:
        Towers(normed(), normed()).adapt(labelled())(torch.randn(3, 4))
    assert "the norm `query.1`, which answers a query, to have seen the support" in str(caught.value)
    assert "got statistics of `support.1`" in str(caught.value)
    with pytest.raises(errors.UnsupportedError, match=r"got statistics of no norm"):
        Towers(nn.Linear(4, 5), normed()).adapt(labelled())(torch.randn(3, 4))
    for policy in ("running", "transductive", "frozen"):
        assert Towers(normed(), normed(), normalisation=policy).adapt(labelled())(torch.randn(3, 4)).shape == (3, 3)


def test_order_of_the_calls_does_not_matter():
    """Two norms called in one order on the support and in the other on a query; each gets its own statistics."""

    class Both(qs.Learner):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.BatchNorm1d(4), nn.BatchNorm1d(4)

        def learn(self, support):
            return {"z": self.b(3 * self.a(support.x) + 1)}

        def predict(self, values, x):
            b = self.b(x)
            return torch.cat([b, self.a(x)], 1)

    learner, support, x = Both(), labelled(), torch.randn(5, 4)
    predictor = learner.adapt(support)
    mean, variance = support.x.mean(0), support.x.var(0, correction=0)
    torch.testing.assert_close(predictor(x)[:, 4:], (x - mean) / (variance + 1e-5).sqrt())
    assert set(predictor.state.statistics) == {"a", "b"}


@pytest.mark.parametrize(
    ("norm", "shape", "message"),
    [
        (
            nn.BatchNorm1d(5),
            (1, 5),
            r"`network\.1`: expected more than one value a channel .* got one, in an input of shape \(1, 5\)",
        ),
        (nn.BatchNorm2d(5), (1, 5, 1, 1), r"more than one value a channel"),
        (nn.InstanceNorm1d(5), (3, 5, 1), r"more than one value a channel of an instance"),
    ],
    ids=["batch", "batch of images", "instance"],
)
@pytest.mark.parametrize("policy", ["support", "transductive"])
def test_one_value_a_channel_is_an_error_as_in_torch(norm, shape, message, policy):
    net = nn.Sequential(nn.Identity(), norm, nn.Flatten(), nn.Linear(5, 2))
    support = qs.Examples(torch.randn(*shape), torch.randn(shape[0], 2))
    with pytest.raises(errors.ShapeError, match=message):
        qs.MAML(net, inner_steps=1, normalisation=policy).adapt(support)
    with pytest.raises(ValueError, match="more than 1"):
        norm.train()(support.x)


def test_sources():
    """The table of the module's docstring."""
    table = {
        ("support", False): ("batch", "record", "replay", "batch"),
        ("support", True): ("batch", "record", "replay", "batch"),
        ("running", True): ("batch", "record", "record", "record"),
        ("running", False): ("running",) * 4,
        ("transductive", True): ("batch",) * 4,
        ("transductive", False): ("batch",) * 4,
        ("frozen", True): ("running",) * 4,
        ("frozen", False): ("running",) * 4,
    }
    assert {policy for policy, _ in table} == set(NORMALISATIONS)
    for (policy, training), want in table.items():
        assert tuple(source(policy, moment, training) for moment in ("inner", "support", "query", "episode")) == want


@pytest.mark.parametrize("kind", ["two passes", "one batch"])
def test_running_averages_weigh_each_pass_by_its_values(kind):
    """Support and query of an episode in one batch, or one after the other: one merged mean and unbiased variance a norm."""
    norm, episode = nn.BatchNorm1d(4), qs.Episode(labelled(6), labelled(9))
    build = (lambda: qs.Prototypical(norm)) if kind == "one batch" else (lambda: qs.Ridge(norm))
    outcome = build().copied(training=True).outcome(episode, Context(True, 0))
    ((name, found),) = outcome.statistics.items()
    assert name == "embed"
    parts = [episode.support.x, episode.query.x]
    if kind == "one batch":
        whole = torch.cat(parts)
        want = whole.mean(0), whole.var(0)
    else:
        want = tuple((6 * one + 9 * other) / 15 for one, other in zip(*((p.mean(0), p.var(0)) for p in parts), strict=True))
    torch.testing.assert_close(tuple(found), want)
    assert build().copied().outcome(episode, Context()).statistics == {}


def test_averages_merge_turns_of_one_norm():
    one = torch.ones(2)
    passes = [({"a": (one, one), "a#1": (3 * one, one)}, {"a": 2, "a#1": 2})]
    merged = averages(passes)
    torch.testing.assert_close(merged["a"].mean, 2 * one)
    torch.testing.assert_close(merged["a"].variance, 2 * one)
