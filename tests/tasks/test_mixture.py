"""A mixture draws each family as its weight says; its batches have the gradient and the scores of their tasks."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy.buckets import Buckets
from quickstudy.errors import ArgumentError, CheckpointError, TaskError, UnsupportedError
from quickstudy.learners.wrap import ByFamily
from quickstudy.meta.problem import task
from quickstudy.tasks.construction.mixture import OfFamily

FAMILIES = {
    "waves": qs.tasks.Sinusoid(shots=5, queries=4),
    "few": qs.tasks.GaussianClasses(ways=2, dim=3, queries=3),
    "many": qs.tasks.GaussianClasses(ways=4, shots=2, dim=5, queries=2),
}
SIZES = {"waves": 1, "few": 3, "many": 5}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shared(norm: bool = False) -> ByFamily:
    """A learner of three kinds with one body: descent on waves and few classes, prototypes of many."""
    torch.manual_seed(0)
    layers = [nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Tanh()] if norm else [nn.Linear(6, 6), nn.Tanh()]
    body = nn.Sequential(*layers)
    first = {name: nn.Sequential(nn.Linear(size, 6), body) for name, size in SIZES.items()}
    policy = {"normalisation": "running" if norm else "support"}
    return ByFamily(
        {
            "waves": qs.MAML(nn.Sequential(first["waves"], nn.Linear(6, 1)), inner_lr=0.1, **policy),
            "few": qs.MAML(nn.Sequential(first["few"], nn.Linear(6, 2)), inner_lr=0.1, **policy),
            "many": qs.Prototypical(first["many"], **policy),
        }
    )


def batch(n: int = 7) -> Buckets:
    return qs.tasks.Mixture(FAMILIES).train.sample(n, generator=seeded())


def wide(one: Buckets) -> Buckets:
    return one.map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf)


def test_a_batch_says_which_family_each_task_is_of():
    found = batch()
    assert len(found) == 7
    assert sum(map(len, found.parts.values())) == 7
    families = [task(found, t).family for t in range(7)]
    assert families == [name for name, part in found.parts.items() for _ in range(len(part))]
    assert found[2:5].parts.keys() <= found.parts.keys()
    assert len(found[2:5]) == 3
    assert torch.equal(found[2:5][0].query.x, found[2].query.x)
    with pytest.raises(IndexError):
        found[7]


def test_the_same_seed_gives_the_same_tasks():
    one, two, other = (qs.tasks.Mixture(FAMILIES).train.sample(9, generator=seeded(seed)) for seed in (1, 1, 2))
    assert one.parts.keys() == two.parts.keys()
    assert all(torch.equal(part.query.x, two.parts[name].query.x) for name, part in one.parts.items())
    assert {name: len(part) for name, part in one.parts.items()} != {name: len(part) for name, part in other.parts.items()}


@pytest.mark.parametrize("weights", [(1, 2, 1), {"many": 1, "few": 2, "waves": 1}])
def test_families_are_drawn_by_their_weights(weights):
    drawn = qs.tasks.Mixture(FAMILIES, weights).train.sample(4000, generator=seeded())
    shares = {name: len(part) / 4000 for name, part in drawn.parts.items()}
    for name, p in {"waves": 0.25, "few": 0.5, "many": 0.25}.items():
        assert abs(shares[name] - p) < 4 * math.sqrt(p * (1 - p) / 4000)


def test_weights_by_size_and_temperature():
    x = torch.randn(400, 2)
    sizes = {"large": 40, "small": 10}
    parts = {name: qs.tasks.LabelledTasks(x, torch.arange(400) % size, ways=2, queries=2) for name, size in sizes.items()}
    for temperature, large in ((1.0, 0.8), (2.0, 2 / 3), (1e6, 0.5)):
        found = qs.tasks.MixedTasks(parts, qs.tasks.BySize(temperature)).probabilities
        assert found["large"] == pytest.approx(large, abs=1e-5)
    with pytest.raises(ArgumentError, match=r"`weights=BySize\(\)`: expected families of classes or groups, which can be"):
        qs.tasks.Mixture(FAMILIES, qs.tasks.BySize())


@pytest.mark.parametrize("executor", ["loop", "threads", "vmap", pytest.param("compiled", marks=pytest.mark.compiled)])
@pytest.mark.parametrize("chunk", [None, 2])
def test_the_gradient_is_the_mean_over_all_tasks_by_every_executor(executor, chunk):
    """Against each task alone, summed by hand in float64."""
    learner, episodes = shared().double(), wide(batch())
    loss, found = qs.meta_gradient(learner, episodes, executor=executor, chunk=chunk)
    want = {name: torch.zeros_like(one) for name, one in learner.named_parameters()}
    losses = []
    for t in range(len(episodes)):
        value = learner.loss(episodes[t])
        losses.append(float(value.detach()))
        grown = torch.autograd.grad(value, list(learner.parameters()), materialize_grads=True)
        for name, one in zip(want, grown, strict=True):
            want[name] += one / len(episodes)
    assert float(loss) == pytest.approx(sum(losses) / len(losses), rel=1e-12)
    for name, one in want.items():
        torch.testing.assert_close(found[name], one, rtol=1e-10, atol=1e-12)


def test_each_family_moves_its_own_part_and_the_shared_one():
    """Control: without the waves, nothing of theirs but what is shared has a gradient."""
    learner = shared()
    full, rest = batch(), Buckets({name: part for name, part in batch().parts.items() if name != "waves"})
    moved = {name for name, one in qs.meta_gradient(learner, full)[1].items() if bool(one.abs().sum() > 0)}
    assert moved == dict(learner.named_parameters()).keys()
    still = {name for name, one in qs.meta_gradient(learner, rest)[1].items() if not bool(one.abs().sum() > 0)}
    assert still == {f"members.waves.network.{name}" for name in ("0.0.weight", "0.0.bias", "1.weight", "1.bias")}


def test_a_shared_norm_averages_over_the_tasks_of_all_families():
    learner = shared(norm=True)
    qs.meta_train(learner, qs.tasks.Mixture(FAMILIES), steps=3, tasks_per_step=6, validation_episodes=2, progress=False)
    norms = {name for name, one in learner.named_modules() if isinstance(one, nn.BatchNorm1d)}
    assert norms == {"members.waves.network.0.1.1"}  # one module, under its first name
    (norm,) = (one for one in learner.modules() if isinstance(one, nn.BatchNorm1d))
    assert int(norm.num_batches_tracked) == 3
    assert float(norm.running_mean.abs().sum()) > 0


def test_evaluate_scores_each_family_and_their_mean():
    learner, tasks = shared(), qs.tasks.Mixture(FAMILIES)
    found = qs.evaluate(learner, tasks.test, 20)
    assert list(found.families) == list(FAMILIES)
    assert found.metric.name == "loss"  # the scores of classes and values have no mean
    assert found.families["few"].others["accuracy"].mean > 0.4
    assert found.mean == pytest.approx(sum(one.mean for one in found.families.values()) / 3)
    alone = qs.evaluate(learner.members["many"], FAMILIES["many"].test, 20)
    assert found.families["many"].others["accuracy"].mean == pytest.approx(alone.mean)
    classes = qs.tasks.Mixture({name: FAMILIES[name] for name in ("few", "many")})
    alike = qs.evaluate(learner, classes.test, 20)
    assert alike.metric.name == "accuracy"
    assert alike.ci95 == pytest.approx(math.hypot(*(one.ci95 for one in alike.families.values())) / 2)
    assert "the mean of 2 families" in str(alike)


def test_training_on_a_mixture_improves_every_family():
    learner, tasks = shared(), qs.tasks.Mixture(FAMILIES)
    before = qs.evaluate(learner, tasks.test, 60)
    run = qs.meta_train(
        learner, tasks, steps=150, tasks_per_step=12, executor="vmap", validate_every=50, validation_episodes=20, progress=False
    )
    after = qs.evaluate(learner, tasks.test, 60)
    assert run.best["metric"] == "loss"
    for name in FAMILIES:
        assert after.families[name].mean < before.families[name].mean, name


def test_a_saved_learner_still_shares_its_body(tmp_path):
    """Control: two that share nothing have twice the parameters."""
    body, apart = qs.models.mlp(3, 8), qs.models.mlp(3, 8)
    learner = ByFamily({"few": qs.Prototypical(body), "other": qs.R2D2(body)})
    learner.save(tmp_path / "learner")
    loaded = qs.load(tmp_path / "learner")
    assert [name for name, _ in loaded.named_parameters()] == [name for name, _ in learner.named_parameters()]
    assert loaded.members["few"].embed is loaded.members["other"].embed
    both = ByFamily({"few": qs.Prototypical(body), "other": qs.R2D2(apart)})
    both.save(tmp_path / "apart")
    assert len(list(qs.load(tmp_path / "apart").parameters())) == len(list(both.parameters())) > len(list(loaded.parameters()))
    episode = FAMILIES["few"].test.sample(1)[0].of("few")
    assert torch.equal(loaded.adapt(episode.support)(episode.query.x), learner.adapt(episode.support)(episode.query.x))


def test_parts_of_ones_own_are_handed_in_as_members(tmp_path):
    learner, again = shared(), shared()
    with torch.no_grad():
        for one in learner.parameters():
            one.add_(0.1)
    learner.save(tmp_path / "learner")
    loaded = qs.load(tmp_path / "learner", **dict(again.members))
    assert all(torch.equal(one, other) for one, other in zip(loaded.parameters(), learner.parameters(), strict=True))
    with pytest.raises(CheckpointError, match="`network=` to be handed in"):
        qs.load(tmp_path / "learner")


def test_what_a_learner_has_no_part_for_is_refused_before_it_trains():
    learner, tasks = shared(), qs.tasks.Mixture({**FAMILIES, "other": qs.tasks.GaussianClasses(ways=2, dim=9)})
    with pytest.raises(ArgumentError, match=r"expected a mixture of families that the learner has a part for: \['waves', 'few'"):
        qs.meta_train(learner, tasks, steps=1, tasks_per_step=2, progress=False)
    with pytest.raises(UnsupportedError, match=r"expected a Mixture of .*, whose tasks say which family they are"):
        qs.meta_train(learner, FAMILIES["waves"], steps=1, tasks_per_step=2, progress=False)
    support = FAMILIES["waves"].test.sample(1)[0].support
    with pytest.raises(UnsupportedError, match=r"got examples of none\. Say which: Examples\(x, y, family='waves'\)"):
        learner.adapt(support)
    with pytest.raises(UnsupportedError, match="got examples of 'other'"):
        learner.adapt(support.of("other"))
    with pytest.raises(ArgumentError, match="expected one normalisation"):
        ByFamily({"a": qs.Prototypical(nn.Linear(2, 2)), "b": qs.Prototypical(nn.Linear(2, 2), normalisation="support")})


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ((0, 0, 0), r"`weights`: expected a sum above 0, got \[0, 0, 0\], whose sum is 0"),
        ((1, 2), r"`weights`: expected 3, one for each of \['waves', 'few', 'many'\], got 2"),
        ({"waves": 1}, r"`weights`: expected one for each of \['waves', 'few', 'many'\], got names \['waves'\]"),
        ((1, -1, 1), r"`weights`: expected numbers of 0 or more, got \[1, -1, 1\]"),
        ((1, math.nan, 1), r"`weights`: expected numbers of 0 or more"),
    ],
)
def test_weights_that_say_nothing_are_refused(weights, said):
    with pytest.raises(ArgumentError, match=said):
        qs.tasks.Mixture(FAMILIES, weights)


def test_families_must_have_the_same_parts():
    x, y = torch.randn(60, 3), torch.arange(60) % 6
    scored_only = qs.tasks.from_arrays(x, y, ways=2, queries=2, part="test")
    with pytest.raises(TaskError, match="expected families that all have a part for train, got 'only' without one"):
        qs.tasks.Mixture({"few": FAMILIES["few"], "only": scored_only})
    with pytest.raises(ArgumentError, match="expected one family or more, got none"):
        qs.tasks.Mixture({})


def test_a_class_in_training_of_one_family_and_in_the_test_of_another_is_a_leak():
    def family(train: str, test: str) -> qs.tasks.TaskFamily:
        y = torch.arange(12) % 2
        made = [
            qs.tasks.LabelledTasks(torch.randn(12, 2), y, ways=2, queries=2, class_names=list(names)) for names in (train, test)
        ]
        return qs.tasks.TaskFamily(made[0], None, made[1])

    leak = {"one": family("ab", "cd"), "other": family("ef", "ag")}
    with pytest.raises(TaskError, match="expected parts that share no class, got class 'a' in both"):
        qs.tasks.Mixture(leak)
    assert qs.tasks.Mixture(leak, same_classes=True).same_classes
    apart = qs.tasks.Mixture({"one": family("ab", "cd"), "other": family("ab", "cd")})  # the same classes in the same parts
    assert apart.classes["train"] == ["a", "b"]


def test_a_family_alone_keeps_its_name_under_another_protocol():
    one = OfFamily(FAMILIES["few"].test, "few").with_(shots=3)
    assert one.sample(2).family == "few"
    assert one.sample(2).support.y.shape == (2, 6)


def test_a_mixture_cannot_be_pooled():
    with pytest.raises(UnsupportedError, match="expected tasks of one family, whose examples can be pooled"):
        qs.tasks.Mixture(FAMILIES).train.examples()


def heads(few: nn.Module, many: qs.Learner) -> ByFamily:
    return ByFamily({"few": qs.MAML(few, normalisation="running"), "many": many})


@pytest.mark.parametrize(
    ("learner", "said"),
    [
        (
            lambda: heads(nn.Linear(3, 2), qs.MAML(nn.Linear(5, 2), normalisation="running")),
            r"'many': `prediction`: .* Build the network with 4 outputs",
        ),
        (
            lambda: heads(nn.Linear(3, 2), qs.InContext(features=5, max_ways=3)),
            r"'many': `support.y`: expected at most max_ways=3",
        ),
        (
            lambda: heads(nn.Linear(3, 1), qs.Prototypical(nn.Linear(5, 2))),
            r"'few': `prediction`: .* got \(2, 1\)",
        ),
        (
            lambda: heads(nn.Linear(3, 2), qs.learners.read.InContextRegressor(features=5)),
            r"'many': `support.y`: expected targets",
        ),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_heads_that_do_not_fit_a_family_are_refused_before_the_run(learner, said, seed):
    """Whichever family is drawn first: with one task in each step the other might have come at the hundredth."""
    made, tasks = learner(), qs.tasks.Mixture({name: FAMILIES[name] for name in ("few", "many")})
    before = [one.clone() for one in made.parameters()]
    settings = {"steps": 1, "tasks_per_step": 1, "validation_episodes": 2, "progress": False, "seed": seed}
    with pytest.raises(
        ArgumentError, match=r"`learner`: expected one that fits the tasks of every family, got one that does not fit " + said
    ):
        qs.meta_train(made, tasks, **settings)
    assert all(torch.equal(a, b) for a, b in zip(before, made.parameters(), strict=True))


@pytest.mark.parametrize(("name", "why"), [("values", "one of torch's own"), ("train", "one of torch's own"), ("a.b", "a path")])
def test_a_family_whose_name_no_module_can_have(name, why):
    said = rf"`learners`: expected names that a part of a module can have, got '{name}', which is {why}\. Call"
    with pytest.raises(ArgumentError, match=said):
        ByFamily({name: qs.Prototypical(nn.Linear(2, 2))})
