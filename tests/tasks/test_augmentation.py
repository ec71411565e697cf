"""Task augmentation: what each makes of a task, in float64 where it is an equation."""

from __future__ import annotations

import pytest
import torch
from tests.tasks.rows import numbered, seeded
from tests.tasks.statistics import BIASED, UNIFORM, p_value

import quickstudy as qs
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.tasks import FeatureNoise, LabelledTasks, MixTasks, PermuteLabels, Rotations
from quickstudy.tasks.construction.augmentation.pairing import beta


def episode(n: int = 6, ways: int = 3) -> qs.Episode:
    """float64; x = (task, class, example) of each row."""

    def part(each: int, first: int) -> qs.Examples:
        y = torch.rand(n, ways * each, generator=seeded(each)).argsort(1) % ways
        rows = [[(task, int(label), first + row) for row, label in enumerate(y[task])] for task in range(n)]
        return qs.Examples(torch.tensor(rows, dtype=torch.float64), y, ways=ways)

    return qs.Episode(part(2, 0), part(4, 100))


def test_rotations_make_classes():
    images = torch.arange(4 * 2 * 9).view(8, 1, 3, 3)
    y = torch.arange(4).repeat_interleave(2)
    x, labels, names = Rotations().classes(images, y, list("abcd"))
    assert len(x) == 32
    assert names[:6] == ["a", "b", "c", "d", "a/rot090", "b/rot090"]
    for label, name in enumerate(names):
        turns, base = ("000", "090", "180", "270").index(name[5:] or "000"), "abcd".index(name[0])
        assert torch.equal(x[labels == label], torch.rot90(images[y == base], turns, (-2, -1)))


def test_labels_are_renamed_alike_in_support_and_query():
    before = episode(200)
    after = PermuteLabels()(before, seeded())
    assert torch.equal(before.support.x, after.support.x)
    orders = []
    for task in range(200):
        pairs = set(zip(before.support.y[task].tolist(), after.support.y[task].tolist(), strict=True))
        pairs |= set(zip(before.query.y[task].tolist(), after.query.y[task].tolist(), strict=True))
        assert len(pairs) == 3
        orders.append(tuple(new for _, new in sorted(pairs)))
    counts = torch.tensor([orders.count(order) for order in sorted(set(orders))])
    assert len(counts) == 6
    assert p_value(counts) > UNIFORM
    with pytest.raises(
        UnsupportedError, match=r"`augment=\[PermuteLabels\(\)\]`: expected tasks with classes, got tasks with targets"
    ):
        PermuteLabels()(qs.tasks.Sinusoid().train.sample(2), seeded())


def test_labels_of_labelled_tasks_are_permuted_already():
    """What the docstring says: with and without, each class is as often each label; sorted classes would be found out."""
    plain = numbered([6] * 4, ways=2, shots=1, queries=1)
    permuted = LabelledTasks(plain.x, plain.y, ways=2, shots=1, queries=1, augment=[PermuteLabels()])
    for tasks in (plain, permuted):
        drawn = tasks.sample(4000, generator=seeded())
        own = tasks.y[drawn.query.x][drawn.query.y == 0]
        assert p_value(torch.bincount(own, minlength=4)) > UNIFORM
    lower = tasks.y[drawn.query.x].min(1).values  # the control: the lower class first
    assert p_value(torch.bincount(lower, minlength=4)) < BIASED


def test_noise_has_its_deviation_and_spares_labels():
    before = episode(400)
    after = FeatureNoise(0.5)(before, seeded())
    for part, noisy in ((before.support, after.support), (before.query, after.query)):
        assert torch.equal(part.y, noisy.y)
        assert noisy.x.dtype == torch.float64
        noise = (noisy.x - part.x).flatten()
        torch.testing.assert_close(noise.std(), torch.tensor(0.5).double(), atol=0.03, rtol=0)
        torch.testing.assert_close(noise.mean(), torch.tensor(0.0).double(), atol=0.03, rtol=0)
    assert torch.equal(FeatureNoise(0.0)(before, seeded()).query.x, before.query.x)


def test_mixed_tasks_obey_the_equation():
    """x_r = l x_i + (1 - l) x_j: from (task, class) of the mixture one l, one j and one r' for each class explain every row."""
    before = episode()
    after = MixTasks(2.0, probability=1.0)(before, seeded())
    assert torch.equal(before.support.y, after.support.y)
    for task in range(6):
        x, y = (torch.cat([getattr(part, name)[task] for part in (after.support, after.query)]) for name in "xy")
        own = torch.cat([before.support.x[task], before.query.x[task]])
        moved = x[:, 0] - own[:, 0]  # (1 - l) (j - i), the same for all
        torch.testing.assert_close(moved, moved[:1].expand_as(moved))
        shares = [float(moved[0]) / (other - task) for other in range(6) if other != task]
        fits = []
        for share in (share for share in shares if 0 < share < 1):
            classes = own[:, 1] + (x[:, 1] - own[:, 1]) / share  # r' of each row
            whole = (classes - classes.round()).abs().max() < 1e-9
            met = {(int(label), int(other.round())) for label, other in zip(y, classes, strict=True)}
            rows = own[:, 2] + (x[:, 2] - own[:, 2]) / share
            apart = bool(((rows.round() >= 100) == (own[:, 2] >= 100)).all())  # support meets support, query meets query
            fits.append(bool(whole) and len(met) == 3 and {other for _, other in met} == {0, 1, 2} and apart)
        assert any(fits)


def test_a_share_of_the_tasks_is_mixed():
    before = episode(600)
    after = MixTasks(0.5, probability=0.3)(before, seeded())
    changed = (after.query.x != before.query.x).flatten(1).any(1)
    assert 0.24 < float(changed.double().mean()) < 0.36
    assert torch.equal(MixTasks(probability=0.0)(before, seeded()).query.x, before.query.x)


def test_the_weights_are_beta():
    """Mean 1/2 and variance 1 / (4 (2 alpha + 1)); another alpha would be found out."""
    for alpha in (0.5, 2.0):
        draws = beta(alpha, 20000, seeded())
        assert draws.dtype == torch.float64
        assert abs(float(draws.mean()) - 0.5) < 0.01
        assert abs(float(draws.var()) - 1 / (4 * (2 * alpha + 1))) < 0.004
        assert torch.equal(draws, beta(alpha, 20000, seeded()))
        assert abs(float(draws.var()) - 1 / (4 * (2 * 1.0 + 1))) > 0.02


def test_one_task_alone_is_mixed_too():
    x = torch.arange(60.0)[:, None].repeat(1, 2)
    tasks = LabelledTasks(x, torch.arange(60) % 6, ways=2, shots=1, queries=2, augment=[MixTasks(probability=1.0)])
    one = tasks.sample(1, generator=seeded())
    assert one.support.x.shape == (1, 2, 2)
    assert not torch.equal(one.query.x, one.query.x.round())
    with pytest.raises(
        UnsupportedError, match=r"`augment=\[MixTasks\(\)\]`: expected a batch of two tasks or more, to mix, got one\."
    ):
        MixTasks()(episode(1), seeded())
    with pytest.raises(UnsupportedError, match=r"`augment=\[MixTasks\(\)\]`: expected x of floats, got torch\.int64"):
        numbered([6] * 4, ways=2, queries=1, augment=[MixTasks()]).sample(2)


def test_augmentation_stays_with_meta_training():
    whole = numbered([6] * 8, ways=2, shots=1, queries=1, augment=[PermuteLabels()])
    family = whole.split((4, 2, 2), seed=0)
    assert family.train.with_(shots=2).augment == (PermuteLabels(),)
    assert family.validation.augment == family.test.augment == ()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FeatureNoise(-1.0), r"`std`: expected a number of 0 or more, got -1\.0\. 0\.1 is the default"),
        (lambda: FeatureNoise(float("nan")), r"`std`: expected a finite number of 0 or more, got nan"),
        (lambda: MixTasks(0.0), r"`MixTasks\(alpha\)`: expected above 0, got 0\.0\. 0\.5 or 2 are common"),
        (lambda: MixTasks(probability=2.0), r"`probability`: expected a number from 0 to 1, got 2\.0\. 0\.5 is the default"),
    ],
)
def test_amounts_that_cannot_be(build, message: str):
    with pytest.raises(ArgumentError, match=message):
        build()
