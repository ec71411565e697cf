"""Whether a control wins, in numbers and in words."""

import math

import pytest

from quickstudy.errors import ArgumentError
from quickstudy.evaluation.evaluate import Evaluation, interval
from quickstudy.evaluation.metrics import metric_named
from quickstudy.report.conclusion import against, conclusion

ACCURACY, MSE = metric_named("accuracy"), metric_named("mse")
PROTOCOL = {"metric": "accuracy", "ways": 5, "shots": 1, "queries": 15, "episodes": 4, "seed": 0}


def scored(name, scores, **protocol):
    return Evaluation(*interval(scores), scores, {**PROTOCOL, **protocol}, 0.0, 0.0, name)


OWN = scored("MAML", [0.9, 0.5, 0.8, 0.6])
WORSE = scored("centroid", [0.79, 0.41, 0.69, 0.51])
BETTER = scored("pre-trained", [0.99, 0.61, 0.89, 0.71])
LIKE = scored("twin", [0.91, 0.48, 0.81, 0.6])


def test_differences_are_paired_on_the_same_tasks():
    (row,) = against(OWN, [WORSE], ACCURACY)
    assert (row.gain, row.ci95) == pytest.approx(interval([0.11, 0.09, 0.11, 0.09]))
    assert row.paired
    assert row.winner == "learner"
    assert row.ci95 < math.hypot(OWN.ci95, WORSE.ci95) / 5  # the control: unpaired, this would be no difference at all


@pytest.mark.parametrize("other", [{"seed": 1}, {"shots": 5}, {"queries": 5}])
def test_other_tasks_are_not_paired(other):
    (row,) = against(OWN, [scored("centroid", WORSE.per_episode, **other)], ACCURACY)
    assert not row.paired
    assert not row.same_protocol
    assert row.ci95 == pytest.approx(math.hypot(OWN.ci95, WORSE.ci95))
    assert row.winner == "neither"


def test_scores_that_were_not_kept_are_not_paired():
    control = Evaluation(WORSE.mean, WORSE.ci95, [], PROTOCOL, 0.0, 0.0, "centroid")
    assert not against(OWN, [control], ACCURACY)[0].paired


def test_lower_is_better_for_mean_squared_error():
    own = scored("MAML", [0.1, 0.2, 0.3, 0.4], metric="mse")
    control = scored("mean", [1.1, 1.2, 1.3, 1.41], metric="mse")
    (row,) = against(own, [control], MSE)
    assert row.winner == "learner"
    assert row.gain == pytest.approx(1.0025)
    assert against(control, [own], MSE)[0].winner == "control"


def test_in_plain_words():
    words = lambda *controls: conclusion("MAML", against(OWN, controls, ACCURACY), ACCURACY)
    assert words() == "No control was scored, so nothing here says whether meta-training was worth it."
    assert words(WORSE).startswith(
        "No control wins: MAML is better than the only control. The strongest, centroid, is behind by 10.0"
    )
    assert words(WORSE, BETTER).startswith("A control wins: pre-trained does better than MAML on these tasks by 10.0")
    assert words(WORSE, LIKE).startswith("No control wins, but twin cannot be told apart from MAML")
    assert "both controls" in words(WORSE, scored("other", [0.1, 0.1, 0.1, 0.1]))


def test_the_strongest_control_stands_first():
    names = [row.control.name for row in against(OWN, [WORSE, BETTER, LIKE], ACCURACY)]
    assert names == ["pre-trained", "twin", "centroid"]


def test_a_control_of_another_metric():
    with pytest.raises(ArgumentError, match="`controls`: expected evaluations by accuracy, as the learner's, got 'sine' by mse"):
        against(OWN, [scored("sine", [1.0, 2.0], metric="mse")], ACCURACY)
