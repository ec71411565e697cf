"""meta_train: it learns, repeats, keeps the best, stops early, and loses no run."""

from functools import partial

import pytest
import torch

import quickstudy as qs
from quickstudy.errors import ArgumentError, NotFiniteError, UnsupportedError
from quickstudy.forward.context import Context
from quickstudy.meta.estimators import ReptileDirection
from quickstudy.meta.outer.outer import clip_by_global_norm

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

QUIET = {"progress": False, "executor": "vmap"}


def learner(**more):
    torch.manual_seed(0)
    return qs.MAML(qs.models.mlp(1, 1, hidden=(20,)), inner_lr=0.02, inner_steps=1, **more)


def test_it_learns():
    tasks, before = qs.tasks.Sinusoid(), learner()
    after = learner()
    qs.meta_train(after, tasks, steps=150, tasks_per_step=10, validation_episodes=20, **QUIET)
    assert qs.evaluate(after, tasks.test, 100).mean < 0.9 * qs.evaluate(before, tasks.test, 100).mean


def test_the_same_seed_gives_the_same_weights_under_every_executor():
    def weights(seed, executor):
        trained = learner().double()
        tasks = qs.tasks.Quadratic(1, dtype=torch.float64).train
        qs.meta_train(trained, tasks, steps=5, tasks_per_step=4, seed=seed, executor=executor, progress=False)
        return torch.cat([parameter.detach().flatten() for parameter in trained.parameters()])

    reference = weights(0, "loop")
    torch.testing.assert_close(weights(0, "loop"), reference, rtol=0, atol=0)
    torch.testing.assert_close(weights(0, "threads"), reference, rtol=0, atol=0)
    torch.testing.assert_close(weights(0, "vmap"), reference, rtol=1e-9, atol=1e-10)
    assert (weights(1, "loop") - reference).abs().max() > 1e-4


def test_the_best_learner_is_kept_and_patience_stops():
    tasks, trained = qs.tasks.Sinusoid(), learner()
    diverging = qs.Gradient(optimizer=partial(torch.optim.SGD, lr=3e-3, momentum=0.9), scheduler=rising)
    run = qs.meta_train(
        trained, tasks, steps=60, tasks_per_step=4, outer=diverging, validate_every=2, patience=3, validation_episodes=30, **QUIET
    )
    scores = [record["validation"] for record in run.history if "validation" in record]
    assert run.stopped == "patience"
    assert run.best["score"] == min(scores) < scores[-1]
    from quickstudy.meta.loop.checkpoint_selector import VALIDATION_SEED

    assert qs.evaluate(trained, tasks.validation, 30, VALIDATION_SEED).mean == pytest.approx(run.best["score"], rel=1e-4)


def rising(optimizer):
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.12**step)


@pytest.mark.parametrize("executor", ["loop", "vmap"])
def test_a_non_finite_gradient_stops_the_run_and_the_best_is_safe(executor):
    tasks, trained = qs.tasks.Sinusoid(), learner()

    class Poison(torch.optim.SGD):
        def step(self, closure=None):
            super().step()
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls == 4:
                with torch.no_grad():
                    self.param_groups[0]["params"][0].fill_(torch.inf)

    outer = qs.Gradient(optimizer=partial(Poison, lr=1e-3))
    with pytest.raises(
        NotFiniteError, match=r"`meta-gradient`: expected finite numbers, got in task 0 of the batch: .*`body.0.weight`"
    ):
        qs.meta_train(
            trained, tasks.train, steps=9, tasks_per_step=3, outer=outer, validate_every=2, executor=executor, progress=False
        )
    assert all(torch.isfinite(parameter).all() for parameter in trained.parameters())


def test_clip_bounds_the_step():
    tasks, trained = qs.tasks.Sinusoid(), learner()
    before = torch.cat([parameter.detach().flatten().clone() for parameter in trained.parameters()])
    outer = qs.Gradient(optimizer=partial(torch.optim.SGD, lr=1.0))
    qs.meta_train(trained, tasks.train, steps=1, tasks_per_step=3, outer=outer, clip=0.01, **QUIET)
    moved = torch.cat([parameter.detach().flatten() for parameter in trained.parameters()]) - before
    assert float(moved.norm()) == pytest.approx(0.01, rel=1e-3)


def test_clip_leaves_a_shorter_gradient_as_it_is():
    g = {"a": torch.tensor([3.0, 0.0]), "b": torch.tensor([[4.0]])}
    clip_by_global_norm(g, 5.1)
    assert torch.equal(g["a"], torch.tensor([3.0, 0.0]))
    assert torch.equal(g["b"], torch.tensor([[4.0]]))
    clip_by_global_norm(g, 2.5)
    torch.testing.assert_close(g, {"a": torch.tensor([1.5, 0.0]), "b": torch.tensor([[2.0]])})


def test_running_averages_are_updated_by_the_outer_loop_and_only_by_it():
    embed = torch.nn.Sequential(torch.nn.Linear(16, 6), torch.nn.BatchNorm1d(6))
    trained, tasks = qs.Prototypical(embed, normalisation="running"), qs.tasks.GaussianClasses(ways=3, dim=16)
    batch = tasks.train.sample(4, generator=torch.Generator().manual_seed(0))
    qs.meta_gradient(trained, batch)
    trained.adapt(batch[0].support)
    assert torch.equal(embed[1].running_mean, torch.zeros(6))
    for executor in ("loop", "vmap"):
        before = embed[1].running_mean.clone()
        qs.meta_train(trained, tasks.train, steps=3, tasks_per_step=4, executor=executor, progress=False)
        assert (embed[1].running_mean - before).abs().max() > 1e-3
    assert int(embed[1].num_batches_tracked) == 6  # meta-steps, as torch counts batches


def test_a_learner_without_meta_parameters_is_left_alone():
    trained = qs.FromScratch(qs.models.mlp(1, 1, hidden=(4,)))
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    run = qs.meta_train(trained, qs.tasks.Sinusoid(), steps=5, tasks_per_step=2, progress=False)
    assert not run.history
    assert "no meta-parameters" in run.why
    assert all(torch.equal(before[name], value) for name, value in trained.state_dict().items())


def test_the_best_learner_is_saved_as_it_is_found(tmp_path):
    tasks, trained = qs.tasks.Sinusoid(), learner()
    qs.meta_train(trained, tasks, steps=4, tasks_per_step=2, validate_every=2, validation_episodes=5, out=tmp_path, **QUIET)
    assert {name for name, _ in qs.load(tmp_path).named_parameters()} == {name for name, _ in trained.named_parameters()}


def test_auto_says_what_it_chose_and_why():
    run = qs.meta_train(learner(), qs.tasks.Sinusoid().train, steps=3, tasks_per_step=4, progress=False)
    assert run.executor in ("loop", "threads", "vmap", "compiled")
    assert "is the fastest of loop" in run.why
    assert "compiled: " in run.why


def test_auto_falls_back_with_a_reason_where_vmap_cannot_serve():
    class Recurrent(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = torch.nn.GRU(1, 4, batch_first=True), torch.nn.Linear(4, 1)

        def forward(self, x):
            return self.head(self.rnn(x[:, None])[0][:, -1])

    run = qs.meta_train(qs.MAML(Recurrent()), qs.tasks.Sinusoid().train, steps=2, tasks_per_step=2, progress=False)
    assert run.executor in ("loop", "threads")
    assert "vmap: GRU has no vmap rule in torch" in run.why


def test_reptile_moves_towards_the_adapted():
    torch.manual_seed(0)
    trained = qs.Reptile(qs.models.mlp(1, 1, hidden=(8,)), outer_lr=1.0)
    batch = qs.tasks.Sinusoid().train.sample(1, generator=torch.Generator().manual_seed(3))
    _, direction = qs.meta_gradient(trained, batch, estimator=ReptileDirection())
    adapted = trained.adapted(trained.copied().state(batch[0].support, Context()))
    for name, parameter in trained.named_parameters():
        torch.testing.assert_close(direction[name], (parameter - adapted[name]).detach(), rtol=1e-5, atol=1e-7)


def test_reptile_for_a_learner_that_adapts_nothing_is_refused():
    outer = qs.Gradient(ReptileDirection())
    with pytest.raises(UnsupportedError, match=r"`estimator`: expected one that serves Prototypical, .* Use Backprop\(\)"):
        qs.meta_train(
            qs.Prototypical(torch.nn.Linear(16, 4)),
            qs.tasks.GaussianClasses(),
            steps=1,
            tasks_per_step=1,
            outer=outer,
            progress=False,
        )


def test_bf16_runs_and_fp16_is_refused():
    tasks = qs.tasks.Sinusoid().train
    run = qs.meta_train(learner(), tasks, steps=2, tasks_per_step=2, precision="bf16", **QUIET)
    assert len(run.history) == 2
    with pytest.raises(
        ArgumentError, match="`precision`: expected None or 'bf16', got 'fp16', whose second derivatives overflow"
    ):
        qs.meta_train(learner(), tasks, steps=2, tasks_per_step=2, precision="fp16", **QUIET)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"tasks_per_step": 0}, {"chunk": 0}, {"patience": 0}])
def test_counts_below_one(wrong):
    arguments = {"steps": 1, "tasks_per_step": 1} | wrong
    with pytest.raises(ArgumentError, match=f"`{next(iter(wrong))}`: expected 1 or more, got 0"):
        qs.meta_train(learner(), qs.tasks.Sinusoid(), progress=False, **arguments)


@pytest.mark.wrong_types
def test_an_executor_that_does_not_exist():
    with pytest.raises(
        ArgumentError, match="`executor`: expected one of 'loop', 'threads', 'vmap', 'compiled', 'auto', got 'gpu'"
    ):
        qs.meta_train(learner(), qs.tasks.Sinusoid(), steps=1, tasks_per_step=1, executor="gpu", progress=False)


def test_a_learner_that_is_bound_to_float32_is_compared_in_its_own_precision():
    class Bound(qs.Learner):
        def __init__(self):
            super().__init__()
            self.embed = torch.nn.Linear(16, 4)

        def learn(self, support):
            return {"z": self.embed(support.x), "member": torch.nn.functional.one_hot(support.y, support.ways).float()}

        def predict(self, state, x):
            return torch.softmax(-torch.cdist(self.embed(x), state["z"]), -1) @ state["member"]

    run = qs.meta_train(Bound(), qs.tasks.GaussianClasses().train, steps=3, tasks_per_step=2, progress=False)
    assert len(run.history) == 3
