"""Augmentations that change episodes: MetaMix, label noise, channels; what each makes, in float64 where it is an equation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tests.tasks.rows import numbered, seeded
from tests.tasks.statistics import UNIFORM, p_value

import quickstudy as qs
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.targets import Labels, SoftLabels, TokenLabels
from quickstudy.tasks import (
    FeatureNoise,
    GroupTasks,
    LabelledTasks,
    LabelNoise,
    MetaMix,
    MixTasks,
    PermuteChannels,
    PermuteLabels,
    ShuffleChannels,
    from_groups,
)

PATIENT = torch.arange(60) // 20


def tasks(*augment, ways: int = 3, shots: int = 2, queries: int = 4, features: int = 4) -> LabelledTasks:
    generator = seeded(9)
    x = torch.randn(120, features, generator=generator, dtype=torch.float64)
    return LabelledTasks(x, torch.arange(120) // 12, ways=ways, shots=shots, queries=queries, augment=augment)


def batch(n: int = 6, **options: int) -> qs.Episode:
    return tasks(**options).sample(n, generator=seeded(1))


# ---- MetaMix --------------------------------------------------------------------------------------------------------------


def test_a_mixed_query_lies_between_itself_and_a_support_example_of_its_task():
    """One l explains x, and the shares of y by the same l; the weight of another query would not."""
    before = batch()
    after = MetaMix()(before, seeded())
    assert after.support is before.support
    assert after.query.target == SoftLabels(3)
    lengths = []
    for task in range(6):
        for row in range(12):
            own, mixed = before.query.x[task, row], after.query.x[task, row]
            found = []
            for other in range(6):
                support = before.support.x[task, other]
                share = float(((mixed - support) @ (own - support)) / ((own - support) @ (own - support)))
                if (share * own + (1 - share) * support - mixed).abs().max() < 1e-12:
                    y = torch.zeros(3, dtype=torch.float64)
                    y[before.query.y[task, row]] += share
                    y[before.support.y[task, other]] += 1 - share
                    found.append((share, float((y - after.query.y[task, row]).abs().max())))
            ((share, error),) = found
            assert 0 < share < 1
            assert error < 1e-12
            lengths.append(share)
    assert len(set(lengths)) == 72


def test_the_loss_of_a_mixed_query_is_the_weighted_sum():
    """In float64, through a learner and by hand; the loss by the larger share alone is another number."""
    before = batch(n=2)
    after = MetaMix()(before, seeded())[0]
    torch.manual_seed(0)
    learner = qs.Prototypical(qs.models.mlp(4, 5)).double()
    z = learner(after.support, after.query.x).detach()
    want = torch.zeros((), dtype=torch.float64)
    for row, shares in zip(z, after.query.y, strict=True):
        for label, share in enumerate(shares):
            want += share * F.cross_entropy(row[None], torch.tensor([label])) / len(z)
    torch.testing.assert_close(learner.loss(after).detach(), want, rtol=1e-12, atol=0)
    hard = F.cross_entropy(z, after.query.y.argmax(1))
    assert abs(float(hard - want)) > 1e-4
    own = F.cross_entropy
    torch.testing.assert_close(learner.loss(after, criterion=own).detach(), want, rtol=1e-12, atol=0)


def test_the_relation_loss_of_shares_is_the_weighted_sum():
    torch.manual_seed(0)
    learner = qs.RelationNetwork(qs.models.mlp(4, 5), qs.models.mlp(10, 1)).double()
    after = MetaMix()(batch(n=2), seeded())[0]
    z = learner(after.support, after.query.x).detach()
    each = [learner.criterion(z, torch.full((len(z),), label)) for label in range(3)]
    assert len({float(one) for one in each}) == 3
    want = torch.zeros((), dtype=torch.float64)
    for row, y in zip(z, after.query.y, strict=True):
        want += sum(share * learner.criterion(row[None], torch.tensor([label])) for label, share in enumerate(y)) / len(z)
    torch.testing.assert_close(learner.loss(after).detach(), want, rtol=1e-12, atol=0)


@pytest.mark.parametrize("executor", ["threads", "vmap", pytest.param("compiled", marks=pytest.mark.compiled)])
@pytest.mark.parametrize("augment", [MetaMix(), LabelNoise(0.5), MixTasks(2.0, 1.0), ShuffleChannels(0.5, 1.0)])
def test_every_executor_gives_the_gradient_of_the_loop(executor: str, augment):
    torch.manual_seed(0)
    learner = qs.MAML(qs.models.mlp(4, 3, hidden=(5,)), inner_lr=0.1).double()
    episodes = tasks(augment).sample(4, generator=seeded())
    loss, want = qs.meta_gradient(learner, episodes, executor="loop")
    other, found = qs.meta_gradient(learner, episodes, executor=executor)
    torch.testing.assert_close(loss, other, rtol=1e-10, atol=1e-12)
    plain = qs.meta_gradient(learner, tasks().sample(4, generator=seeded()), executor="loop")[1]
    for name, one in want.items():
        torch.testing.assert_close(found[name], one, rtol=1e-9, atol=1e-11)
    assert any(not torch.allclose(plain[name], one) for name, one in want.items())


def test_a_share_of_the_tasks_has_mixed_queries():
    before = batch(400)
    after = MetaMix(probability=0.3)(before, seeded())
    mixed = (after.query.x != before.query.x).flatten(1).any(1)
    assert 0.22 < float(mixed.double().mean()) < 0.38
    assert torch.equal(after.query.y[~mixed], F.one_hot(before.query.y, 3).double()[~mixed])


def test_numbers_mix_as_x_does():
    """y = 2 x, and so is every mixture."""
    x = torch.randn(60, 1, generator=seeded())
    family = from_groups(x, 2 * x, torch.arange(60) // 10, shots=3, queries=4, augment=[MetaMix()])
    drawn = family.train.sample(8, generator=seeded())
    torch.testing.assert_close(drawn.query.x * 2, drawn.query.y)
    assert not bool(torch.isin(drawn.query.x, x).any())
    assert bool(torch.isin(drawn.support.x, x).all())
    assert drawn.query.target == family.test.sample(1).query.target
    assert bool(torch.isin(family.test.sample(4).query.x, x).all())


def test_a_learner_is_meta_trained_on_mixed_queries_and_chosen_on_plain_ones():
    family = qs.tasks.GaussianClasses(ways=3, dim=4)
    train = tasks(MetaMix())
    held = tasks()
    assert family.train.ways == 3
    learner = qs.Prototypical(qs.models.mlp(4, 5)).double()
    run = qs.meta_train(
        learner,
        qs.tasks.TaskFamily(train, held, None, same_classes=True, same_content=True),
        steps=6,
        tasks_per_step=3,
        validate_every=3,
        validation_episodes=4,
        progress=False,
    )
    assert len(run.history) == 6
    assert "MetaMix(alpha=2.0, probability=1.0)" in run.protocol["augment"]
    assert qs.evaluate(learner, held, 3).protocol["metric"] == "accuracy"
    assert qs.evaluate(learner, train, 3).protocol["metric"] == "nll"


def test_a_learner_that_reads_the_labels_of_queries_refuses_shares():
    after = MetaMix()(batch(n=2), seeded())[0]
    feat = qs.FEAT(qs.models.mlp(4, 5)).double()
    with pytest.raises(
        UnsupportedError,
        match=r"`augment=\[MetaMix\(\)\]`: expected a learner that compares .* got FEAT, .*or give FEAT\(contrast=0\)",
    ):
        feat.loss(after)
    assert bool(qs.FEAT(qs.models.mlp(4, 5), contrast=0).double().loss(after) > 0)
    mann = qs.MANN(torch.nn.Flatten(), 4, 3, slots=8, width=4, hidden=4).double()
    with pytest.raises(UnsupportedError, match=r"got MANN, which reads .* or give MANN\(sequence=False\)"):
        mann.loss(after)


# ---- label noise ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ways", [2, 3, 4, 5])
@pytest.mark.parametrize("shots", [1, 3])
def test_labels_are_wrong_as_often_as_asked_and_each_other_class_alike(ways: int, shots: int):
    before = batch(3000, ways=ways, shots=shots)
    after = LabelNoise(0.3)(before, seeded())
    wrong = after.support.y != before.support.y
    rate, n = float(wrong.double().mean()), wrong.numel()
    assert abs(rate - 0.3) < 5 * (3 * 0.3 * 0.7 / n) ** 0.5  # exchanged in twos and threes
    counts = F.one_hot(after.support.y, ways).sum(1)
    assert bool((counts == shots).all())
    moves = torch.bincount((before.support.y * ways + after.support.y)[wrong], minlength=ways**2).view(ways, ways)
    off = moves[~torch.eye(ways, dtype=torch.bool)]
    if ways > 2:
        assert float(off.double().std() / off.double().mean()) < 0.2
    assert torch.equal(after.query.y, before.query.y)
    assert torch.equal(after.support.x, before.support.x)
    assert after.class_names == before.class_names


def test_each_example_is_as_likely_to_be_wrong():
    before = batch(3000, ways=5, shots=2)
    wrong = LabelNoise(0.2)(before, seeded()).support.y != before.support.y
    by_class = torch.stack([wrong[before.support.y == label].sum() for label in range(5)])
    assert p_value(by_class) > UNIFORM
    assert p_value(wrong.sum(0)) > UNIFORM


def test_no_noise_and_all_noise():
    before = batch(50)
    assert torch.equal(LabelNoise(0.0)(before, seeded()).support.y, before.support.y)
    assert bool((LabelNoise(1.0)(before, seeded()).support.y != before.support.y).all())


# ---- channels -------------------------------------------------------------------------------------------------------------


def test_channels_are_permuted_alike_in_a_task():
    before = batch(40)
    after = PermuteChannels()(before, seeded())
    orders = []
    for task in range(40):
        own, new = (torch.cat([part.support.x[task], part.query.x[task]]) for part in (before, after))
        order = [int(((own - new[:, [channel]]).abs().sum(0)).argmin()) for channel in range(4)]
        assert sorted(order) == [0, 1, 2, 3]
        assert torch.equal(own[:, order], new)
        orders.append(tuple(order))
    assert len(set(orders)) > 10
    assert after.class_names == before.class_names
    images = LabelledTasks(torch.rand(30, 3, 2, 2), torch.arange(30) // 5, ways=2, queries=2, augment=[PermuteChannels()])
    seen = images.sample(4, generator=seeded())
    plain = images.with_()
    plain.augment = ()
    unchanged = plain.sample(4, generator=seeded())
    torch.testing.assert_close(seen.query.x.sort(2).values, unchanged.query.x.sort(2).values)
    assert not torch.equal(seen.query.x, unchanged.query.x)


def test_shuffled_channels_are_of_two_classes_of_two_tasks():
    """x = (task, class) in every channel: from each class one mask, one j and one r' for support and query."""
    n, ways = 6, 3

    def part(each: int) -> qs.Examples:
        y = (torch.arange(ways * each) % ways).expand(n, -1)
        x = 10.0 * torch.arange(n)[:, None] + y
        return qs.Examples(x[..., None].expand(-1, -1, 8).clone(), y.clone(), ways)

    before = qs.Episode(part(1), part(2))
    after = ShuffleChannels(0.5, 1.0)(before, seeded())
    met, kept = set(), 0
    for task in range(n):
        for label in range(ways):
            rows = torch.cat([one.x[task][one.y[task] == label] for one in (after.support, after.query)])
            assert torch.equal(rows, rows[:1].expand_as(rows))
            own = rows[0] == 10 * task + label
            others = set(rows[0][~own].tolist())
            assert len(others) <= 1
            assert all(other // 10 != task for other in others)
            met |= {(task, other) for other in others}
            kept += int(own.sum())
    assert len({int(other % 10) for _, other in met}) == 3
    assert 0.35 < kept / (n * ways * 8) < 0.65
    assert after.class_names is None
    for keep, probability in ((1.0, 1.0), (0.5, 0.0)):
        assert torch.equal(ShuffleChannels(keep, probability)(before, seeded()).query.x, before.query.x)


# ---- what all of them share -----------------------------------------------------------------------------------------------

EVERY = {
    "new examples": (FeatureNoise(), LabelNoise(0.5), MetaMix()),
    "new tasks": (MixTasks(probability=1.0), PermuteLabels(), PermuteChannels(), ShuffleChannels(probability=1.0)),
}


@pytest.mark.parametrize(("makes", "one"), [(makes, one) for makes, several in EVERY.items() for one in several])
def test_the_same_seed_gives_the_same_episodes_and_says_what_it_makes(makes: str, one):
    assert one.makes == makes
    drawn = [tasks(one).sample(5, generator=seeded(seed)) for seed in (3, 3, 4)]
    for part in ("support", "query"):
        for name in ("x", "y"):
            a, b = (getattr(getattr(episode, part), name) for episode in drawn[:2])
            assert torch.equal(a, b)
    assert not torch.equal(drawn[0].query.x, drawn[2].query.x)
    assert tasks(one).sample(1, generator=seeded()).support.x.shape == (1, 6, 4)
    assert drawn[0].support.ways == 3


def test_new_examples_never_change_what_a_class_is():
    """Not even where the augmentation itself drops the names: `makes` decides."""
    for one in EVERY["new examples"]:
        changed, plain = (tasks(*augment).sample(4, generator=seeded()) for augment in ((one,), ()))
        assert changed.class_names == plain.class_names

    class Forgets(FeatureNoise):
        def changed(self, episode, generator):
            return qs.Episode(episode.support, episode.query)

    class Mixes(Forgets):
        makes = "new tasks"

    assert tasks(Forgets()).sample(2, generator=seeded()).class_names == tasks().sample(2, generator=seeded()).class_names
    assert tasks(Mixes()).sample(2, generator=seeded()).class_names is None


def test_several_act_one_after_another():
    drawn = tasks(MixTasks(2.0, 1.0), LabelNoise(0.5), MetaMix()).sample(4, generator=seeded())
    assert drawn.query.target == SoftLabels(3)
    assert drawn.support.target == Labels(3)
    assert drawn.class_names is None


# ---- what is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: MetaMix(0.0), ArgumentError, r"`MetaMix\(alpha\)`: expected above 0, got 0\.0\. 0\.5 or 2 are common"),
        (lambda: LabelNoise(1.5), ArgumentError, r"`probability`: expected a number from 0 to 1, got 1\.5\. 0\.1 is the default"),
        (lambda: ShuffleChannels(keep=-1.0), ArgumentError, r"`keep`: expected a number from 0 to 1, got -1\.0"),
        (
            lambda: tasks(PermuteChannels(), features=1),
            UnsupportedError,
            r"`augment=\[PermuteChannels\(\)\]`: expected x of two channels or features or more, got x of shape \(1,\) for each",
        ),
        (lambda: tasks(ShuffleChannels(), features=1), UnsupportedError, r"`augment=\[ShuffleChannels\(\)\]`: expected x of two"),
        (
            lambda: tasks(LabelNoise(), ways=1),
            UnsupportedError,
            r"`augment=\[LabelNoise\(\)\]`: expected two classes or more, got 1\. Leave it out, or raise `ways`",
        ),
        (lambda: tasks(LabelNoise()).with_(ways=1), UnsupportedError, r"`augment=\[LabelNoise\(\)\]`: expected two classes"),
        (
            lambda: LabelNoise()(qs.tasks.Sinusoid().train.sample(2), seeded()),
            UnsupportedError,
            r"`augment=\[LabelNoise\(\)\]`: expected tasks with classes, got tasks with targets\. Leave it out for regression",
        ),
        (
            lambda: from_groups(torch.randn(60, 2), torch.randn(60), PATIENT, augment=[LabelNoise()]),
            UnsupportedError,
            r"`augment`: expected what changes numbers, got LabelNoise\(probability=0\.1\)\. FeatureNoise\(std\), Per",
        ),
        (
            lambda: LabelNoise()(batch(shots=0), seeded()),
            UnsupportedError,
            r"`augment=\[LabelNoise\(\)\]`: expected as many support examples of each class, one or more, got no support",
        ),
        (
            lambda: MetaMix()(batch(shots=0), seeded()),
            UnsupportedError,
            r"`augment=\[MetaMix\(\)\]`: expected support examples, to mix with, got none",
        ),
        (
            lambda: numbered([6] * 4, ways=2, queries=1, augment=[MetaMix()]),
            UnsupportedError,
            r"`augment=\[MetaMix\(\)\]`: expected x of floats, got torch\.int64",
        ),
        (
            lambda: GroupTasks(
                torch.randn(60, 2),
                torch.zeros(60, 4, dtype=torch.int64),
                PATIENT,
                list("abc"),
                target=TokenLabels(2),
                augment=[MetaMix()],
            ),
            UnsupportedError,
            r"`augment=\[MetaMix\(\)\]`: expected labels, or targets that are numbers, got TokenLabels",
        ),
        (
            lambda: LabelledTasks(
                torch.ones(12, 4, dtype=torch.uint8),
                torch.arange(12) // 4,
                ways=2,
                queries=2,
                preprocessing=qs.tasks.Bytes(length=4),
                augment=[LabelNoise(), FeatureNoise()],
            ),
            UnsupportedError,
            r"`augment=\[FeatureNoise\(\)\]`: expected x of floats, got a dict of tensors\. Leave it out for such x",
        ),
        (
            lambda: ShuffleChannels()(batch(n=1), seeded()),
            UnsupportedError,
            r"`augment=\[ShuffleChannels\(\)\]`: expected a batch of two tasks or more, to mix, got one",
        ),
    ],
)
def test_what_an_augmentation_cannot_change_is_refused(build, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        build()
