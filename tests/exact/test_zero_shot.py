"""Zero-shot prototypes by hand, the episodes that they learn from, and a family of attribute vectors that they learn on."""

import pytest
import torch
from tests.exact.quadratic import assert_slopes_agree, finite_differences
from tests.exact.test_prototypical import an_episode
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.learners.compare.zero_shot import ZeroShot
from quickstudy.tasks.distribution.described import DescribedTasks

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

ATTRIBUTES = 5


@pytest.fixture
def storable(monkeypatch):
    """What a saved folder may name, whether or not the package exports it yet."""
    monkeypatch.setattr(qs, "ZeroShot", ZeroShot, raising=False)


def a_zero_shot_episode(ways=3, queries=4):
    support = qs.Examples({"description": torch.randn(ways, ATTRIBUTES)}, torch.arange(ways))
    y = torch.arange(ways).repeat(queries)
    return qs.Episode(support, qs.Examples(torch.randn(len(y), 6), y))


def attribute_tasks(classes=60, examples=12, seed=0):
    """x of class c ~ N(W v_c, 0.3^2), v_c drawn from the cube's corners, W fixed: a class can be told from its description."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator)
    codes = torch.randperm(2**8, generator=generator)[:classes]
    v = ((codes[:, None] >> torch.arange(8)) & 1) * 2.0 - 1.0
    y = torch.arange(classes).repeat_interleave(examples)
    x = v[y] @ draw(8, 10) + 0.3 * draw(len(y), 10)
    return DescribedTasks(x, y, v, ways=5, queries=4)


def test_by_hand():
    """-||f(x) - g(v_k)/|g(v_k)| ||^2. Control: descriptions at their own length."""
    episode, embed, describe = a_zero_shot_episode(), nn.Linear(6, 4), nn.Linear(ATTRIBUTES, 4)
    got = ZeroShot(embed, describe).adapt(episode.support)(episode.query.x)

    def by_hand(length):
        c = [describe(v) / (describe(v).norm() if length else 1) for v in episode.support.x["description"]]
        return torch.stack([torch.stack([-((f - one) ** 2).sum() for one in c]) for f in embed(episode.query.x)]).detach()

    torch.testing.assert_close(got, by_hand(True))
    torch.testing.assert_close(
        ZeroShot(embed, describe, unit_length=False).adapt(episode.support)(episode.query.x), by_hand(False)
    )
    assert not torch.allclose(by_hand(True), by_hand(False), rtol=0.01)


def test_where_descriptions_are_class_means_it_is_prototypical():
    """g the identity on the means of f: the same answers. Control: the descriptions of other classes."""
    episode, embed = an_episode(), nn.Linear(6, 4)
    z = embed(episode.support.x).detach()
    means = torch.stack([z[episode.support.y == k].mean(0) for k in range(3)])
    learner = ZeroShot(embed, nn.Identity(), unit_length=False)
    want = qs.Prototypical(embed).adapt(episode.support)(episode.query.x)
    torch.testing.assert_close(learner.adapt(qs.Examples(means, torch.arange(3)))(episode.query.x), want)
    turned = learner.adapt(qs.Examples(means.roll(1, 0), torch.arange(3)))(episode.query.x)
    assert not torch.allclose(turned, want, rtol=0.1)


def test_a_tensor_and_a_mapping_describe_alike_and_several_descriptions_are_averaged():
    embed, describe = nn.Linear(6, 4), nn.Linear(ATTRIBUTES, 4)
    v, y, x = torch.randn(4, ATTRIBUTES), torch.tensor([1, 0, 1, 1]), torch.randn(5, 6)
    learner = ZeroShot(embed, describe)
    plain, mapped = (learner.adapt(qs.Examples(one, y)) for one in (v, {"description": v}))
    assert torch.equal(plain(x), mapped(x))
    c = nn.functional.normalize(describe(v).detach())
    torch.testing.assert_close(plain.state.values["prototypes"], torch.stack([c[1], c[[0, 2, 3]].mean(0)]))


def test_gradient_by_finite_differences():
    learner = ZeroShot(nn.Sequential(nn.Linear(6, 4), nn.Tanh()), nn.Sequential(nn.Linear(ATTRIBUTES, 4), nn.Tanh()))
    assert_slopes_agree(finite_differences(learner, [a_zero_shot_episode()]))


def test_classes_never_seen_are_told_from_their_descriptions():
    """Meta-trained on 36 classes, tested on 12 others of which no example was ever seen: far above the chance of 1/5.
    Controls: the learner as it began; the test classes under each other's descriptions."""
    torch.set_default_dtype(torch.float32)
    tasks = attribute_tasks().split((36, 12, 12), seed=0)
    learner = ZeroShot(qs.models.mlp(10, 16, hidden=(32,)), qs.models.mlp(8, 16, hidden=()))
    before = qs.evaluate(learner, tasks.test, 100, progress=False).mean
    qs.meta_train(learner, tasks, steps=150, tasks_per_step=8, executor="vmap", progress=False)
    after = qs.evaluate(learner, tasks.test, 100, progress=False).mean
    swapped = tasks.test.with_()
    swapped.descriptions = tasks.test.descriptions.roll(1, 0)
    confused = qs.evaluate(learner, swapped, 100, progress=False).mean
    assert before < 0.5
    assert after > 0.85
    assert confused < 0.4


def test_a_predictor_takes_queries_and_is_saved_with_its_classes(storable, tmp_path):
    """Its support had 5 attributes, its queries have 6 features."""
    torch.set_default_dtype(torch.float32)
    learner = ZeroShot(qs.models.mlp(6, 4), qs.models.mlp(ATTRIBUTES, 4))
    predictor = learner.adapt(qs.Examples(torch.randn(3, ATTRIBUTES), torch.arange(3)))
    x = torch.randn(7, 6)
    predictor.save(tmp_path / "predictor")
    again = qs.load(tmp_path / "predictor")
    assert torch.equal(again(x), predictor(x))
    assert predictor.predict(x).shape == (7,)
    with pytest.raises(errors.ShapeError, match=r"`predictor\(x\)`"):  # any other learner's queries are as its support is
        qs.Prototypical(nn.Flatten()).adapt(qs.Examples(torch.randn(3, 5), torch.arange(3)))(x)


def test_an_episode_of_one_kind_is_still_checked():
    y = torch.arange(3)
    for support, query in ((torch.randn(3, 5), torch.randn(3, 6)), ({"a": torch.randn(3, 5)}, {"a": torch.randn(3, 6)})):
        with pytest.raises(errors.ShapeError, match=r"`Episode\(support, query\)`: expected support\.x and query\.x of the same"):
            qs.Episode(qs.Examples(support, y), qs.Examples(query, y))


# ---- its tasks ---------------------------------------------------------------------------------------------------------


def numbered(classes=8, examples=6):
    """Class c has the description [c, -c], and every x of it is [c, c, c]."""
    y = torch.arange(classes).repeat_interleave(examples)
    number = torch.arange(classes, dtype=torch.float64)
    return DescribedTasks(y[:, None].double().repeat(1, 3), y, torch.stack([number, -number], 1), ways=3, queries=2)


@pytest.mark.parametrize("part", ["whole", "split", "only", "moved"])
def test_label_k_s_description_is_that_of_the_queries_of_label_k(part):
    tasks = numbered()
    tasks = {
        "whole": lambda: tasks,
        "split": lambda: numbered(10).split((4, 3, 3), seed=0).train,
        "only": lambda: tasks.only([5, 1, 7]),
        "moved": lambda: tasks.to("cpu"),
    }[part]()
    batch = tasks.sample(10, generator=torch.Generator().manual_seed(0))
    v = batch.support.x["description"]
    assert v.shape == (10, 3, 2)
    assert batch.query.x.shape == (10, 6, 3)
    own = v.gather(1, batch.query.y[..., None].expand(-1, -1, 2))
    assert torch.equal(own[..., 0], batch.query.x[..., 0])
    assert torch.equal(own[..., 1], -batch.query.x[..., 1])
    assert all(len(set(classes.tolist())) == 3 for classes in v[..., 0])
    assert len(set(v[:, 0, 0].tolist())) > 1  # label 0 is not always the same class
    assert all(set(labels.tolist()) == {0, 1, 2} for labels in batch.query.y)
    if part == "only":
        assert set(v[..., 0].flatten().tolist()) == {1.0, 5.0, 7.0}


def test_parts_of_a_split_share_no_class_and_the_protocol_says_no_shots():
    family = numbered(12).split((6, 3, 3), seed=1)
    found = [set(part.sample(30).support.x["description"][..., 0].flatten().tolist()) for part in family.parts.values()]
    assert [len(one) for one in found] == [6, 3, 3]
    assert len(set.union(*found)) == 12
    assert family.test.protocol == {"ways": 3, "shots": 0, "queries": 2}
    assert family.with_(ways=2).train.sample(1).support.ways == 2


def test_refusals():
    with pytest.raises(errors.UnsupportedError, match=r"`normalisation`: expected 'running', .* got 'support'\. Leave it out"):
        ZeroShot(nn.Identity(), nn.Identity(), normalisation="support")
    x, y = torch.randn(6, 3), torch.arange(3).repeat(2)
    with pytest.raises(errors.ShapeError, match=r"`descriptions`: expected \(3, \*description\), one .* got \(2, 4\)\. Put"):
        DescribedTasks(x, y, torch.randn(2, 4), ways=2, queries=1)
    with pytest.raises(errors.NotFiniteError, match=r"`descriptions`: expected finite numbers"):
        DescribedTasks(x, y, torch.full((3, 4), torch.nan), ways=2, queries=1)
    with pytest.raises(errors.ArgumentError, match=r"`shots`: expected 0: .* got 1\. Use LabelledTasks"):
        DescribedTasks(x, y, torch.randn(3, 4), ways=2, queries=1).with_(shots=1)
    with pytest.raises(errors.LabelError, match=r"`support\.y`: expected class labels"):
        ZeroShot(nn.Identity(), nn.Identity()).adapt(qs.Examples(torch.randn(3, 2), torch.randn(3, 1)))
