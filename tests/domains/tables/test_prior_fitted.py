"""Tables and PriorFitted: what a view is, that only the support standardises, and that meta-training teaches to classify."""

import copy
import math

import pytest
import torch
from torch import Tensor

import quickstudy as qs
from quickstudy.domains.tables.prior_fitted import PriorFitted
from quickstudy.domains.tables.tabular_prior import TabularPrior
from quickstudy.errors import ArgumentError, LabelError, ShapeError
from quickstudy.forward.context import Context
from quickstudy.learners.learner import Learner
from quickstudy.learners.read.in_context import InContext
from quickstudy.learners.solve.ridge import Ridge
from quickstudy.learners.wrap.tables import Tables

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py


@pytest.fixture(autouse=True)
def _double_on_one_thread(_global_state):
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)


class Seen(Learner):
    """Keeps what each view shows it."""

    def learn(self, support):
        return {"x": support.x, "y": support.y}

    def predict(self, state, x):
        return torch.zeros(len(x), 3)


def a_task(columns=5, shots=4):
    y = torch.arange(3).repeat(shots)
    return qs.Examples(3 + 2 * torch.randn(len(y), columns) + y[:, None], y), 3 + 2 * torch.randn(7, columns)


def views(support, **arguments):
    return [state.values for state in Tables(Seen(), **arguments).adapt(support).state.values["members"]]


def standardised(support, x, clip=3.0):
    return ((x - support.x.mean(0)) / support.x.std(0, correction=0)).clamp(-clip, clip)


def same_columns(a: Tensor, b: Tensor) -> Tensor:
    """Which column of a is which of b: (columns of a, columns of b)."""
    return (a[:, :, None] - b[:, None]).abs().amax(0) < 1e-9


def test_a_view_is_the_standardised_columns_in_another_order_scaled_and_padded():
    """Control: without the root of F / F_e the columns are not found."""
    support, _ = a_task()
    z = standardised(support, support.x)
    orders = []
    for member, view in enumerate(views(support, features=8, members=3)):
        assert view["x"].shape == (12, 8)
        assert not view["x"][:, 5:].any()
        found = same_columns(view["x"][:, :5], math.sqrt(8 / 5) * z)
        assert torch.equal(found.sum(0), torch.ones(5, dtype=torch.int64))
        assert not same_columns(view["x"][:, :5], z).any()
        assert torch.equal(view["y"], (support.y + member) % 3)
        orders.append(tuple(found.nonzero()[:, 1].tolist()))
    assert len(set(orders)) == 3


def test_columns_that_do_not_vary_come_last_as_zeros():
    """Even a query that differs there: the support says nothing of such a column."""
    support, x = a_task()
    support.x[:, [1, 3]] = torch.tensor([7.3, 0.0])
    view = views(support, features=8, members=1)[0]["x"]
    found = same_columns(view[:, :3], math.sqrt(8 / 3) * standardised(support, support.x)[:, [0, 2, 4]])
    assert torch.equal(found.sum(0), torch.ones(3, dtype=torch.int64))
    assert not view[:, 3:].any()
    learner = Tables(Ridge(normalisation="support"), features=8)
    other = x.clone()
    other[:, [1, 3]] += 100
    assert torch.equal(learner.adapt(support)(other), learner.adapt(support)(x))
    other[:, 0] += 1
    assert not torch.allclose(learner.adapt(support)(other), learner.adapt(support)(x))


def test_columns_beyond_the_features_are_all_dealt_out_before_any_comes_again():
    support, _ = a_task(columns=10)
    z, dealt = standardised(support, support.x), []
    for view in views(support, features=4, members=6):
        assert view["x"].shape == (12, 4)
        dealt.append(same_columns(view["x"], z).nonzero()[:, 1].tolist())  # F_e = F: no factor
        assert len(set(dealt[-1])) == 4
    for sweep in (dealt[:3], dealt[3:]):  # 3 views of 4 hold 10 columns, 2 of them twice
        assert {column for view in sweep for column in view} == set(range(10))
    assert dealt[:3] != dealt[3:]


def test_the_answer_is_the_mean_probability_with_the_classes_numbered_back():
    """By hand, with ridge regression on each view. Control: the mean of the logits, and classes not numbered back."""
    support, x = a_task(columns=6)
    inner = Ridge(scale=3.0, normalisation="support")
    table = Tables(inner, features=4, members=3)
    state, got = table.adapt(support).state.values, table.adapt(support)(x)
    probabilities, logits = [], []
    for member in range(3):
        columns = state["columns"][member]
        u, asked = (standardised(support, part)[:, columns] for part in (support.x, x))
        answer = inner.adapt(qs.Examples(u, (support.y + member) % 3, 3))(asked)
        logits.append(answer)
        probabilities.append(answer.softmax(1)[:, [(k + member) % 3 for k in range(3)]])
    torch.testing.assert_close(got.exp(), torch.stack(probabilities).mean(0))
    assert not torch.allclose(got.softmax(1), torch.stack(logits).mean(0).softmax(1), rtol=1e-3)
    torch.testing.assert_close(got.exp().sum(1), torch.ones(7))


def test_outputs_beyond_the_classes_at_hand_have_no_probability():
    class Wide(Seen):
        def predict(self, state, x):
            return torch.zeros(len(x), 5)

    support, x = a_task()
    torch.testing.assert_close(Tables(Wide(), features=5).adapt(support)(x).exp(), torch.full((7, 3), 1 / 3))


def test_units_and_offsets_of_the_columns_do_not_matter():
    """Control: to the learner itself they do."""
    support, x = a_task()
    units, offset = torch.tensor([1e-3, 1.0, 7.0, 1e4, 0.2]), torch.tensor([0.0, -5.0, 1e3, 2.0, 30.0])
    change = lambda part: part * units + offset
    learner = PriorFitted(8, 4, width=8, depth=2, heads=2).double()
    answer = learner.adapt(support)(x)
    torch.testing.assert_close(learner.adapt(qs.Examples(change(support.x), support.y))(change(x)), answer, rtol=1e-8, atol=1e-9)
    bare = InContext(features=5, width=8, depth=2, heads=2).double()
    changed = bare.adapt(qs.Examples(change(support.x), support.y))(change(x))
    assert (changed - bare.adapt(support)(x)).abs().max() > 0.1


def seen_by(function, x):
    return torch.autograd.functional.jacobian(function, x).abs().sum((1, 3)) > 0


def test_no_statistic_of_the_queries_leaks():
    """d answer_i / d x_j is exactly 0 for two queries. Control: standardised by support and queries together it is not."""
    support, x = a_task()
    learner = PriorFitted(8, 4, width=8, depth=2, heads=2, clip=100.0).double()
    assert torch.equal(seen_by(lambda x: learner(support, x), x), torch.eye(7, dtype=torch.bool))

    def leaking(x):
        both = torch.cat([support.x, x])
        z = lambda part: (part - both.mean(0)) / both.std(0)
        return learner(qs.Examples(z(support.x), support.y), z(x) + both.mean(0))

    assert seen_by(leaking, x).all()


def test_far_values_are_clipped():
    support, x = a_task()
    learner = Tables(Ridge(normalisation="support"), features=5, clip=2.0)
    far, near = x.clone(), x.clone()
    far[0, 0], near[0, 0] = 1e6, support.x[:, 0].mean() + 2 * support.x[:, 0].std(correction=0)
    torch.testing.assert_close(learner.adapt(support)(far), learner.adapt(support)(near))


def test_fewer_rows_are_drawn_for_each_view():
    """Standardised by all rows, and 12 of 30 in each view. With max_support at 30 or more all are there."""
    support, x = a_task(columns=1, shots=10)
    z = standardised(support, support.x)[:, 0]
    drawn = [same_columns(view["x"].T, z[None]).nonzero()[:, 1] for view in views(support, features=1, members=4, max_support=12)]
    assert [len(rows.unique()) for rows in drawn] == [12] * 4
    assert len({frozenset(rows.tolist()) for rows in drawn}) == 4
    for member, view in enumerate(views(support, features=1, members=4, max_support=12)):
        assert torch.equal(view["y"], (support.y[drawn[member]] + member) % 3)
    whole, more = (Tables(Ridge(normalisation="support"), features=1, max_support=n) for n in (None, 30))
    assert torch.equal(whole.adapt(support)(x), more.adapt(support)(x))
    assert whole.order_invariant
    assert not more.order_invariant


def test_meta_training_takes_the_first_view():
    """Its loss is the learner's own there. Control: that of all views is another number."""
    support, x = a_task()
    episode = qs.Episode(support, qs.Examples(x, torch.tensor([0, 1, 2, 0, 1, 2, 0]), 3))
    one, three = (PriorFitted(8, 4, width=8, depth=2, heads=2, members=members).double() for members in (1, 3))
    torch.testing.assert_close(three.loss(episode), one.loss(episode))
    of_all_views = lambda learner: Learner.outcome(learner.copied(), episode, Context()).loss
    torch.testing.assert_close(one.loss(episode), of_all_views(one))
    assert not torch.allclose(of_all_views(three), one.loss(episode))


def test_recipe_is_the_transformer_in_tables_under_adam():
    learner = PriorFitted(16, 5, width=16, heads=2, members=3, max_support=100)
    assert (learner.features, learner.learner.features, learner.learner.max_ways) == (16, 16, 5)
    optimizer = learner.outer.start(dict(learner.named_parameters())).optimizer
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.param_groups[0]["lr"] == 2e-3
    with pytest.raises(LabelError, match=r"at most max_ways=5 classes, got 6"):
        learner.adapt(qs.Examples(torch.randn(6, 3), torch.arange(6)))


def test_meta_training_teaches_to_classify_tables(tmp_path, monkeypatch):
    """A tiny one after some seconds beats the largest class on new tables by 4 standard errors, and an untrained one is no
    better than it; read back from its folder it answers the same."""
    for cls in (InContext, Tables):
        monkeypatch.setattr(qs, cls.__name__, cls, raising=False)
    torch.set_default_dtype(torch.float32)
    tasks = TabularPrior(ways=2, max_features=4, shots=8, queries=8)
    learner = PriorFitted(4, 2, width=16, depth=2, heads=2, members=1)
    untrained = copy.deepcopy(learner)
    run = qs.meta_train(learner, tasks.train, steps=160, tasks_per_step=20, executor="vmap", progress=False)
    losses = [record["loss"] for record in run.history]
    assert sum(losses[-30:]) < sum(losses[:30]) - 1.0
    episodes = tasks.test.sample(200, generator=torch.Generator().manual_seed(0))
    largest = torch.stack(
        [(e.query.y == e.support.y.mode().values).float().mean() for e in map(episodes.__getitem__, range(200))]
    )
    gains = {}
    for name, one in (("trained", learner), ("untrained", untrained)):
        scores = torch.tensor(qs.evaluate(one, tasks.test, 200, 0).per_episode)
        gains[name] = float((scores - largest).mean() / (scores - largest).std() * 200**0.5)
    assert gains["trained"] > 4
    assert gains["untrained"] < 2
    learner.save(tmp_path / "saved")
    one = episodes[0]
    assert torch.equal(qs.load(tmp_path / "saved").adapt(one.support)(one.query.x), learner.adapt(one.support)(one.query.x))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"features": 0}, r"`features`: expected 1 or more, got 0"),
        ({"members": 0}, r"`members`: expected 1 or more, got 0"),
        ({"max_support": 0}, r"`max_support`: expected 1 or more, got 0"),
        ({"clip": 0.0}, r"`clip`: expected a number above 0, got 0\.0\. 3 is the default"),
    ],
)
def test_arguments_that_are_none(arguments, text):
    with pytest.raises(ArgumentError, match=text):
        Tables(Ridge(), **{"features": 3, **arguments})


def test_support_sets_that_are_no_tables():
    learner = Tables(Ridge(), features=3)
    with pytest.raises(ShapeError, match=r"`x`: expected a table, \(examples, columns\), got \(4, 2, 2\)\. Flatten it"):
        learner.adapt(qs.Examples(torch.randn(4, 2, 2), torch.arange(4)))
    with pytest.raises(LabelError, match=r"`support\.y`: expected class labels"):
        learner.adapt(qs.Examples(torch.randn(4, 2), torch.randn(4, 1)))
