"""The trained network itself as the predictor: what it answers, how it is scored, saved and refused."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy.errors import ArgumentError, CheckpointError, TaskError, UnsupportedError
from quickstudy.learners.generalise import GroupDRO, WithoutSupport
from quickstudy.learners.wrap import Standardised
from quickstudy.recipes.generalise import ERM, MLDG, Fish

CLASSES, DOMAINS = 3, 4
NAMES = ("ant", "bee", "cat")


def tasks(shots: int = 2, queries: int = 3) -> qs.tasks.LabelledTasks:
    """Classes far apart in two of three features; the third is the domain's own."""
    generator = torch.Generator().manual_seed(0)
    y, domain = torch.arange(240) % CLASSES, torch.arange(240) // 60
    x = torch.randn(240, 3, generator=generator)
    x[:, :2] += 4 * torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])[y]
    x[:, 2] += domain
    column = [f"d{one}" for one in domain.tolist()]
    return qs.tasks.LabelledTasks(x, y, ways=CLASSES, shots=shots, queries=queries, class_names=NAMES, columns={"domain": column})


def network() -> nn.Module:
    torch.manual_seed(0)
    return qs.models.mlp(3, CLASSES, hidden=(8,))


METHODS = {
    "ERM": (lambda: ERM(network()), lambda: qs.tasks.by_domain(tasks(shots=0), "domain")),
    "MLDG": (lambda: MLDG(network()), lambda: qs.tasks.across(tasks(), "domain", renumber=False)),
    "Fish": (lambda: Fish(network(), domains=DOMAINS), lambda: qs.tasks.by_domain(tasks(), "domain")),
    "GroupDRO": (lambda: GroupDRO(network(), domains=DOMAINS), lambda: qs.tasks.by_domain(tasks(shots=0), "domain")),
}


@pytest.mark.parametrize("name", METHODS)
def test_it_learns_is_scored_and_saved_without_a_support(name, tmp_path):
    make, drawn = METHODS[name]
    learner, held_out = make(), qs.tasks.by_domain(tasks(shots=0), "domain")
    before = qs.evaluate(learner, held_out, episodes=10).mean
    outer = getattr(learner, "outer", None) or qs.Gradient()
    if name != "Fish":
        outer = qs.Gradient(outer.estimator, partial(torch.optim.Adam, lr=0.02))
    qs.meta_train(learner, drawn(), steps=60, tasks_per_step=1, outer=outer, executor="loop", progress=False)
    scored = qs.evaluate(learner, held_out, episodes=10)
    assert scored.mean > max(before, 0.8)
    assert scored.protocol["shots"] == 0
    x = tasks().x[:20]
    predictor = learner.adapt(None, target=qs.targets.Labels(CLASSES, names=NAMES))
    torch.testing.assert_close(predictor(x), learner.get_submodule("learner.network" if name != "GroupDRO" else "network")(x))
    assert set(predictor.predict(x)) <= set(NAMES)
    assert "without a support" in repr(predictor)
    predictor.save(tmp_path / "predictor")
    assert torch.equal(qs.load(tmp_path / "predictor")(x), predictor(x))
    learner.save(tmp_path / "learner")
    again = qs.load(tmp_path / "learner").adapt(None, target=qs.targets.Labels(CLASSES))
    assert torch.equal(again(x), predictor(x))


def test_a_support_changes_nothing_unless_steps_are_asked_for():
    learner, batch = MLDG(network()), qs.tasks.across(tasks(), "domain", renumber=False).sample(1)
    support, x = batch[0].support, batch[0].query.x
    assert torch.equal(learner.adapt(support)(x), learner.adapt(None, target=support.target)(x))
    assert torch.equal(learner(support, x), network()(x))
    assert not torch.allclose(learner(support, x, steps=1), network()(x))
    assert learner.inner_steps == 0
    assert qs.evaluate(learner, qs.tasks.across(tasks(), "domain", renumber=False), episodes=4).protocol["steps"] == 0


def test_mldg_is_maml_with_both_terms_and_erm_is_joint_training():
    batch = qs.tasks.across(tasks(), "domain", renumber=False).sample(3, generator=torch.Generator().manual_seed(0))
    learner = MLDG(network(), inner_lr=0.3, beta=2.0)
    _, found = qs.meta_gradient(learner, batch, estimator=learner.outer.estimator)
    _, want = qs.meta_gradient(qs.MAML(network(), inner_lr=0.3), batch, estimator=qs.Backprop(before=0.5))
    _, cut = qs.meta_gradient(qs.FOMAML(network(), inner_lr=0.3), batch, estimator=qs.Backprop(before=0.5))
    for name, one in want.items():
        torch.testing.assert_close(found[f"learner.{name}"], one)
    assert any(not torch.allclose(cut[name], one, rtol=1e-2) for name, one in want.items())  # control: first order
    erm = ERM(network())
    _, joint = qs.meta_gradient(erm, batch, estimator=erm.outer.estimator)
    plain, query = network(), batch.query
    torch.nn.functional.cross_entropy(plain(query.x.flatten(0, 1)), query.y.flatten()).backward()
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(joint[f"learner.network.{name}"], parameter.grad)


def test_batch_norms_follow_running_averages():
    def normed() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, CLASSES))

    learner = ERM(normed())
    qs.meta_train(
        learner, qs.tasks.by_domain(tasks(shots=0), "domain"), steps=30, tasks_per_step=1, executor="loop", progress=False
    )
    norm = learner.get_submodule("learner.network.1")
    assert float(norm.running_mean.norm()) > 0.1
    x = tasks().x[:7]
    own = learner.learner.network.eval()
    torch.testing.assert_close(learner.adapt(None, target=qs.targets.Labels(CLASSES))(x), own(x))
    with pytest.raises(
        UnsupportedError, match=r"`normalisation`: expected 'running', 'transductive' or 'frozen'.* batch norm at \['1'\]"
    ):
        WithoutSupport(qs.MAML(normed()))


def test_what_needs_a_support_is_refused():
    target = qs.targets.Labels(CLASSES)
    for learner in (qs.Prototypical(network()), qs.MAML(network()), Standardised(ERM(network()))):
        with pytest.raises(TaskError, match=r"`support`: expected at least one example, got none. \w+ learns from examples"):
            learner.adapt(None, target=target)
        with pytest.raises(TaskError, match="`tasks: support`: expected at least one example, got none"):
            qs.evaluate(learner, tasks(shots=0), episodes=4)
    assert qs.evaluate(qs.MAML(network()), tasks(shots=0), episodes=4, steps=0).protocol["steps"] == 0  # asked for
    with pytest.raises(ArgumentError, match="`target`: expected the kind of answer, since no support says it, got None"):
        ERM(network()).adapt(None)
    with pytest.raises(ArgumentError, match="`target`: expected nothing beside a support, which says it, got Labels"):
        ERM(network()).adapt(tasks().sample(1)[0].support, target=target)
    with pytest.raises(UnsupportedError, match=r"`learner`: expected one that can answer without a support: .* got Prototypical"):
        WithoutSupport(qs.Prototypical(network()))
    with pytest.raises(UnsupportedError, match="got PrototypeHead"):
        WithoutSupport(qs.ProtoMAML(network()))


def test_tasks_without_domains_are_refused_before_they_train():
    """Their classes have another number in each episode, which no support explains."""
    plain, every = tasks(), qs.tasks.by_domain(tasks(), "domain")
    options = {"steps": 1, "tasks_per_step": 1, "progress": False}
    said = "`tasks`: expected classes that keep their numbers, since .* answers without a support, got LabelledTasks, whose"
    for learner in (ERM(network()), MLDG(network()), GroupDRO(network(), domains=DOMAINS), Fish(network(), domains=DOMAINS)):
        with pytest.raises(UnsupportedError, match=said):
            qs.meta_train(learner, plain, **options)
        with pytest.raises(UnsupportedError, match=said):
            qs.meta_train(learner, qs.tasks.TaskFamily(every, plain, None, same_classes=True, same_content=True), **options)
        with pytest.raises(UnsupportedError, match=said):
            qs.evaluate(learner, plain, episodes=4)
    across = qs.tasks.across(tasks(), "domain", renumber=False)
    with pytest.raises(UnsupportedError, match="`tasks`: expected tasks of every domain at once, since Fish tells domains apart"):
        qs.meta_train(Fish(network(), domains=DOMAINS), across, **options)


def test_a_virtual_step_needs_examples():
    with pytest.raises(
        TaskError, match=r"`support`: expected examples of some domains, on which MAML takes 1 inner steps, got none"
    ):
        qs.meta_train(
            MLDG(network()),
            qs.tasks.by_domain(tasks(shots=0), "domain"),
            steps=1,
            tasks_per_step=1,
            executor="loop",
            progress=False,
        )


def test_scikit_learns_interface_asks_for_a_support(tmp_path):
    from quickstudy.sklearn import FewShotClassifier

    ERM(network()).adapt(None, target=qs.targets.Labels(CLASSES)).save(tmp_path / "predictor")
    with pytest.raises(CheckpointError, match="expected a predictor that was adapted to a support"):
        FewShotClassifier.load(tmp_path / "predictor")
