"""A few values far off do not flatten a plot: they are marked at its edge, and said so."""

import math
import re

import pytest

import quickstudy as qs
from quickstudy.evaluation.evaluate import Evaluation
from quickstudy.evaluation.metrics import metric_named
from quickstudy.report import learning_curves, plots
from quickstudy.report.curves import Point
from quickstudy.report.limits import limits
from quickstudy.report.sections import learning_curves as section
from quickstudy.report.sections import scores

MSE = metric_named("mse")
FALL = [2.0 * 0.99**step + 0.1 * (step % 3) for step in range(300)]


def history(losses):
    return [{"step": step + 1, "loss": loss} for step, loss in enumerate(losses)]


@pytest.mark.parametrize("values", [FALL, FALL[::-1][:100], [1.0] * 50, [0.7], [1.0, 2.0, 1.5], [5.0, 0.1, 0.01]], ids=str)
def test_what_fits_is_not_cut(values):
    assert limits(values, until=values.index(min(values))) is None


@pytest.mark.parametrize("growth", [1.2, 1.05], ids=["fast", "slow"])
def test_a_run_that_diverges_keeps_the_height_of_its_fall(growth):
    losses = FALL + [FALL[-1] * growth**step for step in range(300)]
    found = limits(losses, until=297)
    assert found is not None
    assert found.high < 3.0
    assert found.low < min(FALL)
    assert (max(FALL) - min(FALL)) / (found.high - found.low) > 0.6
    assert found.beyond == tuple(index for index, loss in enumerate(losses) if loss > found.high)
    assert found.worst == max(losses)
    assert found.said == f"{len(found.beyond)} of 600 lie beyond the plot, up to {max(losses):.3g}"


def test_a_run_that_diverges_at_once_shows_its_lower_part():
    losses = [1.0, 1.1, *(1.5 + 0.01 * step for step in range(70)), *(10.0**step for step in range(2, 20))]
    found = limits(losses, until=0)
    assert found is not None
    assert 2.0 < found.high < 4.0


def test_values_that_are_not_finite_are_beyond():
    found = limits([1.0, 0.5, math.nan, 0.4, math.inf])
    assert found is not None
    assert found.beyond == (2, 4)
    assert found.said == "2 of 5 lie beyond the plot, not finite"
    assert limits([math.nan, math.inf]) is None


def test_where_more_is_better_the_lower_edge_is_cut():
    found = limits([0.1, 0.5, 0.9, -1e6], until=2, less_is_better=False)
    assert found is not None
    assert found.beyond == (3,)
    assert found.edge == found.low > -2
    assert found.high > 0.9
    assert found.worst == -1e6


def test_the_plot_marks_and_the_words_say_what_is_beyond():
    curves = learning_curves(history([*FALL, 1e6, math.nan]), MSE)
    assert all(math.isfinite(mean) for mean in curves.smoothed)
    html = section(curves, MSE)
    assert "Of the losses, 2 of 302 lie beyond the plot, up to 1e+06; triangles at its edge mark them." in html
    assert "beyond (2)" in html
    ticks = [float(one.replace("\u2212", "-")) for one in re.findall(r">(\u2212?[0-9.]+)</text>", plots.training_loss(curves))]
    assert max(tick for tick in ticks if tick not in (50, 100, 150, 200, 250, 300)) <= 3
    assert "beyond" not in section(learning_curves(history(FALL), MSE), MSE)


def test_validation_scores_and_single_tasks_too():
    records = [{"step": step, "loss": 1.0, "validation": score} for step, score in enumerate([4.0, 1.0, 0.5, 0.4, 50.0, 1e5])]
    html = section(learning_curves(records, MSE), MSE)
    assert "Of the validation scores, 2 of 6 lie beyond the plot, up to 1e+05." in html
    protocol = qs.evaluate(qs.MAML(qs.models.mlp()), qs.tasks.Sinusoid().test, 2).protocol
    evaluation = Evaluation(1.0, 0.1, [*FALL, 1e4, math.nan], protocol, 0.1, 0.0, "MAML")
    assert "Of the tasks, 1 of 301 lie beyond the plot, up to 1e+04." in scores(evaluation, MSE)


def test_few_points_are_cut_only_where_they_are_far_off():
    def points(*means):
        return [Point(at, mean, 0.0) for at, mean in enumerate(means)]

    assert plots.score_limits(points(4.0, 1.0, 0.5, 0.4, 0.35, 0.3), MSE) is None
    found = plots.score_limits(points(1.5, 0.3, 0.28, 0.27, 0.5, 1e4), MSE)
    assert found is not None
    assert found.beyond == (5,)
    assert plots.score_limits(points(0.1, 0.9, 0.99), metric_named("accuracy")) is None
