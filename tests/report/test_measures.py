"""The numbers of a report are those of the run: each point is an evaluation, each bin a count of queries."""

import sys

import pytest
import torch
from torch import Tensor, nn

import quickstudy as qs
from quickstudy.errors import NotFiniteError
from quickstudy.evaluation.evaluate import Evaluation
from quickstudy.evaluation.metrics import metric_named
from quickstudy.report import learning_curves, measure
from quickstudy.report.curves import smoothed
from quickstudy.report.measures import answers

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

GAUSSIAN = {"ways": 3, "dim": 6, "separation": 2.0, "shots": 2, "queries": 5}
ACCURACY, MSE = metric_named("accuracy"), metric_named("mse")


def maml() -> qs.Descent:
    return qs.MAML(qs.models.mlp(6, 3, hidden=(8,)), inner_lr=0.3, inner_steps=2)


@pytest.fixture(scope="module")
def measured():
    torch.manual_seed(0)
    learner, tasks = maml(), qs.tasks.GaussianClasses(**GAUSSIAN).test
    evaluation = qs.evaluate(learner, tasks, 40, seed=4, executor="vmap")
    return learner, tasks, evaluation, measure(learner, tasks, evaluation, episodes=20, seed=4)


def test_the_curve_over_inner_steps_is_evaluate(measured):
    learner, tasks, _, measures = measured
    assert [point.at for point in measures.inner_steps] == [0, 1, 2, 3, 5, 10]
    assert measures.own_steps == 2
    for point in measures.inner_steps:
        want = qs.evaluate(learner, tasks, 20, seed=4, steps=point.at, executor="vmap")
        assert (point.mean, point.ci95) == pytest.approx((want.mean, want.ci95), rel=1e-6)
    assert len({point.mean for point in measures.inner_steps}) > 3  # the control: the steps do make a difference


def test_the_curve_over_shots_is_evaluate(measured):
    learner, tasks, _, measures = measured
    assert [point.at for point in measures.shots] == [1, 2, 3, 5, 10]
    for point in measures.shots:
        want = qs.evaluate(learner, tasks.with_(shots=point.at), 20, seed=4, executor="vmap")
        assert (point.mean, point.ci95) == pytest.approx((want.mean, want.ci95), rel=1e-6)


def test_what_the_evaluation_has_scored_is_not_scored_again(measured, monkeypatch):
    learner, tasks, evaluation, _ = measured
    asked = []
    module = sys.modules["quickstudy.report.measures"]

    def counted(learner, tasks, episodes, seed, steps=None, **more):
        asked.append((tasks.shots, steps))
        return qs.evaluate(learner, tasks, episodes, seed, steps, **more)

    monkeypatch.setattr(module, "evaluate", counted)
    measure(learner, tasks, evaluation, episodes=20, seed=4)
    assert asked == [(2, steps) for steps in (0, 1, 3, 5, 10)] + [(shots, None) for shots in (1, 3, 5, 10)]
    asked.clear()
    measure(learner, tasks, evaluation, episodes=20, seed=5)  # other tasks than the evaluation's
    assert {(2, 2), (2, None)} <= set(asked)
    asked.clear()
    measure(learner, tasks, evaluation, episodes=30, seed=4)  # its last batch would hold other tasks
    assert {(2, 2), (2, None)} <= set(asked)


def test_the_points_are_of_the_metric_of_the_evaluation():
    torch.manual_seed(0)
    learner, tasks = maml(), qs.tasks.GaussianClasses(**GAUSSIAN).test
    evaluation = qs.evaluate(learner, tasks, 4, metrics=["nll"], executor="loop")
    measures = measure(learner, tasks, evaluation, episodes=4)
    want = qs.evaluate(learner, tasks, 4, steps=0, metrics=["nll"], executor="loop")
    assert measures.inner_steps[0].mean == pytest.approx(want.mean, rel=1e-6)
    assert measures.inner_steps[2].mean == pytest.approx(evaluation.mean, rel=1e-6)


def test_shots_that_the_data_do_not_have_are_left_out_and_named():
    x, y = torch.randn(6 * 9, 6), torch.arange(6).repeat_interleave(9)
    tasks = qs.tasks.LabelledTasks(x, y, ways=3, shots=1, queries=5)
    measures = measure(qs.NearestCentroid(), tasks, qs.evaluate(qs.NearestCentroid(), tasks, 4), episodes=4)
    assert [point.at for point in measures.shots] == [1, 2, 3]  # 9 of each class: 5 are queries
    assert [line.split(":")[0] for line in measures.left_out] == ["5 shots", "10 shots"]
    assert measures.inner_steps == []
    assert measures.own_steps is None


def test_the_first_shown_episodes_are_the_evaluations_own(measured):
    learner, tasks, evaluation, measures = measured
    batch = tasks.sample(20, generator=torch.Generator().manual_seed(4))
    assert len(measures.examples) == 3
    for index, shown in enumerate(measures.examples):
        assert torch.equal(shown.support.x, batch[index].support.x)
        assert float(shown.right.double().mean()) == pytest.approx(evaluation.per_episode[index])
        probabilities = learner.adapt(shown.support).predict_proba(shown.query.x)
        assert torch.equal(shown.probability, probabilities.max(1).values)


def test_the_reliability_is_that_of_the_evaluated_queries(measured):
    _, _, evaluation, measures = measured
    bins = measures.reliability.bins
    assert sum(one.count for one in bins) == 20 * 15
    right = sum(one.count * one.accuracy for one in bins) / (20 * 15)
    assert right == pytest.approx(sum(evaluation.per_episode[:20]) / 20)
    assert measures.scaled is None


class Overconfident(qs.Learner):
    """Right in 6 of 10 and always sure: its expected calibration error is 0.4, and 0 at the temperature that says 0.6."""

    meta_learns = False

    def learn(self, support):
        return {"ways": torch.zeros(2)}

    def predict(self, state, x: Tensor) -> Tensor:
        return 20 * torch.stack([x[:, 0], 1 - x[:, 0]], 1)


class SixOfTen:
    """x says the class, and is right in 6 of 10."""

    ways, shots, queries = 2, (1, 1), 10
    protocol = {"ways": 2, "shots": (1, 1), "queries": 10}

    def sample(self, n, *, generator=None):
        y = (torch.arange(10) % 2).expand(n, 10)
        flipped = torch.tensor([1.0] * 6 + [0.0] * 4)
        x = torch.where(flipped == 1, 1 - y.double(), y.double())[..., None].float()
        return qs.Episode(qs.Examples(torch.zeros(n, 2, 1), torch.arange(2).expand(n, 2), 2), qs.Examples(x, y, 2))


@pytest.mark.wrong_types
def test_ece_in_closed_form_before_and_after_the_temperature():
    learner, tasks = Overconfident(), SixOfTen()
    evaluation = qs.evaluate(learner, tasks, 4, executor="loop")
    assert evaluation.mean == pytest.approx(0.6)

    class Calibration:
        temperature = 20 / float(torch.tensor(0.6 / 0.4).log())

    measures = measure(learner, tasks, evaluation, calibration=Calibration(), episodes=4)
    assert measures.reliability.ece == pytest.approx(0.4, abs=1e-6)
    assert measures.scaled.ece == pytest.approx(0.0, abs=1e-6)


def test_answers_of_tasks_with_different_ways_are_padded():
    tasks = qs.tasks.GaussianClasses(**{**GAUSSIAN, "ways": (2, 4)}).test
    logits, y = answers(qs.NearestCentroid(), tasks, 60, seed=1)
    assert len(logits) == len(y)
    assert bool((logits.softmax(1).gather(1, y[:, None]) >= 0).all())
    widths = (logits > -torch.inf).sum(1)
    assert int(y.max()) == int(widths.max()) - 1
    assert len(set(widths.tolist())) > 1


def test_regression_has_functions_and_no_reliability():
    learner, tasks = qs.MAML(qs.models.mlp(), inner_lr=0.01), qs.tasks.Sinusoid(shots=5, queries=8).test
    evaluation = qs.evaluate(learner, tasks, 4, executor="vmap")
    measures = measure(learner, tasks, evaluation, episodes=4)
    assert measures.reliability is None
    shown = measures.examples[0]
    predictor = learner.adapt(shown.support)
    assert torch.equal(shown.function.after, predictor(shown.function.x[:, None]).flatten())
    with torch.no_grad():
        assert torch.allclose(shown.function.before, learner.network(shown.function.x[:, None]).flatten())
    assert not torch.allclose(shown.function.before, shown.function.after)


def test_a_number_of_steps_that_diverges_is_left_out_and_named():
    learner, tasks = qs.MAML(qs.models.mlp(), inner_lr=30.0, inner_steps=1), qs.tasks.Sinusoid(shots=5, queries=8).test
    evaluation = qs.evaluate(learner, tasks, 4, executor="vmap")
    measures = measure(learner, tasks, evaluation, episodes=4)
    assert 1 in [point.at for point in measures.inner_steps]
    assert 10 not in [point.at for point in measures.inner_steps]
    assert any(line.startswith("10 inner steps: NaN or infinity in") for line in measures.left_out)


def test_its_own_number_of_steps_must_not_diverge():
    learner, tasks = qs.MAML(qs.models.mlp(), inner_lr=1e30, inner_steps=5), qs.tasks.Sinusoid().test
    given = Evaluation(1.0, 0.1, [1.0, 1.0], {**tasks.protocol, "metric": "mse", "executor": "loop"}, 0.0, 0.0)
    with pytest.raises(NotFiniteError, match="expected an inner loop that stays finite"):
        measure(learner, tasks, given, episodes=4)


HISTORY = [
    {"step": 1, "loss": 4.0},
    {"step": 2, "loss": 2.0, "validation": 0.5, "validation_ci95": 0.1},
    {"step": 3, "loss": 1.0, "validation": 0.8, "validation_ci95": 0.2},
    {"step": 4, "loss": 1.0, "validation": 0.8, "validation_ci95": 0.3},
]


def test_learning_curves_are_the_history():
    curves = learning_curves(HISTORY, ACCURACY)
    assert curves.losses == [4.0, 2.0, 1.0, 1.0]
    assert [(point.at, point.mean, point.ci95) for point in curves.validation] == [(2, 0.5, 0.1), (3, 0.8, 0.2), (4, 0.8, 0.3)]
    assert curves.best.at == 3  # the first of equals: the weights that were kept
    assert learning_curves(HISTORY, MSE).best.at == 2
    assert learning_curves([], MSE).best is None


def test_smoothing():
    assert smoothed([3.0, 1.0, 2.0], 1) == [3.0, 1.0, 2.0]
    assert smoothed([5.0] * 6, 4) == pytest.approx([5.0] * 6)
    assert smoothed([1.0, 2.0], 2) == pytest.approx([1.0, (0.5 * 1 + 2) / 1.5])  # (1) by hand


def test_best_of_a_run_is_the_runs_own_best():
    torch.manual_seed(0)
    learner = qs.Prototypical(nn.Linear(6, 4))
    tasks = qs.tasks.GaussianClasses(**GAUSSIAN)
    run = qs.meta_train(
        learner, tasks, steps=12, tasks_per_step=2, executor="loop", validate_every=3, validation_episodes=10, progress=False
    )
    best = learning_curves(run.history, ACCURACY).best
    assert (best.at, best.mean) == (run.best["step"], run.best["score"])
