"""calibrate: a known temperature is found again, the threshold keeps its share on fresh tasks, and JSON brings all of it back."""

import json

import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy.errors import ArgumentError, CheckpointError, NotFiniteError, TaskError, UnsupportedError
from quickstudy.evaluation.calibration import Calibration, calibrate, calibrations
from quickstudy.evaluation.head_choice import with_head
from quickstudy.evaluation.ood_scores import Energy, MaxProbability
from quickstudy.evaluation.open_set import answers, closed, open_tasks
from quickstudy.evaluation.temperature import fit_temperature, nll
from quickstudy.files import sealed
from quickstudy.learners.compare.centroid import CentredCentroid


def honest(n=8_000, ways=4, seed=0):
    """Logits whose softmax is the truth: labels are drawn from it."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, ways, generator=generator, dtype=torch.float64)
    return logits, torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]


# ---- the temperature ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("true", [0.2, 1.0, 7.0])
def test_a_known_temperature_is_found_again(true):
    logits, y = honest()
    found = fit_temperature(true * logits, y)
    assert found == pytest.approx(true, rel=0.07)  # 4 standard errors, by the Fisher information, are 0.061
    assert found != pytest.approx(1.2 * true, rel=0.07)
    other = fit_temperature(true * logits, torch.roll(y, 1))  # control: labels of others carry no information
    assert other > 5 * true


def test_it_is_the_minimum_and_scaling_logits_scales_it():
    logits, y = honest(500)
    t = torch.tensor(fit_temperature(logits, y), dtype=torch.float64, requires_grad=True)
    loss = lambda t: nn.functional.cross_entropy(logits / t, y)
    (slope,) = torch.autograd.grad(loss(t), t)
    assert abs(float(slope)) < 1e-6
    away = (t.detach() * 1.1).requires_grad_()
    assert abs(float(torch.autograd.grad(loss(away), away)[0])) > 1e-3  # control
    assert fit_temperature(3 * logits, y) == pytest.approx(3 * t.item(), rel=1e-6)
    assert nll(logits, y, t.item()) <= nll(logits, y)


def test_a_class_that_a_task_lacks_changes_nothing():
    logits, y = honest(300)
    padded = torch.cat([logits, torch.full((300, 1), -torch.inf)], 1)
    assert fit_temperature(padded, y) == pytest.approx(fit_temperature(logits, y), rel=1e-9)


# ---- open episodes -----------------------------------------------------------------------------------------------------


def gaussian(**protocol):
    return qs.tasks.GaussianClasses(**{"ways": 4, "dim": 8, "shots": 2, "queries": 5, "separation": 4.0, **protocol})


def test_open_episodes_keep_the_known_and_take_the_support_of_the_others():
    episode = open_tasks(gaussian().validation, 2).sample(1, generator=torch.Generator().manual_seed(0))[0]
    support, query, ways = closed(episode, 2)
    assert (ways, support.ways, len(support)) == (4, 4, 8)
    assert sorted(set(support.y.tolist())) == [0, 1, 2, 3]
    assert sorted(set(query.y.tolist())) == [0, 1, 2, 3, 4, 5]
    found = answers(CentredCentroid(), gaussian().validation, 21, 0, left_out=2)
    assert found.known.shape == (21 * 20, 4)
    assert found.unknown.shape == (21 * 10, 4)
    assert found.y.max() == 3


def test_ways_that_vary_are_padded():
    found = answers(CentredCentroid(), gaussian(ways=(2, 4)).validation, 60, 1)
    assert found.known.shape[1] == 4
    assert bool(found.known[:, 2:].isinf().any())
    assert calibrate(CentredCentroid(), gaussian(ways=(2, 4)).validation, 60, 1).temperature > 0


def test_a_network_with_more_outputs_than_classes():
    learner = qs.MAML(qs.models.mlp(8, 9, hidden=(5,)), inner_lr=0.1)
    assert answers(learner, gaussian().validation, 3, 0).known.shape == (60, 4)


# ---- calibrate ---------------------------------------------------------------------------------------------------------


def test_calibration_holds_on_fresh_tasks():
    """Found on meta-validation tasks, looked at on meta-test tasks: honest, and the promised share is kept."""
    tasks, learner = gaussian(separation=3.5), CentredCentroid(scale=200.0)
    found = calibrate(learner, tasks.validation, episodes=120, keep=0.9)
    fresh = answers(learner, tasks.test, 120, 1)
    known = found.scores(fresh.known)
    assert float((known >= found.threshold).double().mean()) == pytest.approx(0.9, abs=0.03)
    assert float(found.is_unknown(fresh.unknown).double().mean()) == pytest.approx(found.caught, abs=0.05)
    assert found.caught > 0.2  # rejecting at random would catch 0.1
    assert found.auroc > 0.7
    honest_ece = qs_ece(found.probabilities(fresh.known), fresh.y)
    assert honest_ece < 0.03
    assert qs_ece(fresh.known.softmax(1), fresh.y) > 3 * honest_ece  # control: before
    assert found.after.ece < found.before.ece
    assert found.nll_after < found.nll_before
    assert found.kept == pytest.approx(0.9, abs=0.001)


def qs_ece(probabilities, y):
    from quickstudy.evaluation.reliability_curve import reliability

    return reliability(probabilities, y).ece


def test_a_seed_repeats_and_the_better_score_is_kept():
    tasks = gaussian().validation
    both = calibrate(qs.NearestCentroid(), tasks, 30, seed=3)
    assert both == calibrate(qs.NearestCentroid(), tasks, 30, seed=3)
    assert both != calibrate(qs.NearestCentroid(), tasks, 30, seed=4)
    alone = {type(one).__name__: calibrate(qs.NearestCentroid(), tasks, 30, seed=3, scores=(one,)) for one in SCORES}
    assert both == alone[max(alone, key=lambda name: alone[name].auroc)]
    assert alone["Energy"].auroc != alone["MaxProbability"].auroc
    assert "AUROC" in str(both)


SCORES = (MaxProbability(), Energy())


def test_json_brings_it_back(tmp_path):
    found = calibrate(CentredCentroid(), gaussian(shots=(1, 2)).validation, 30)
    assert Calibration.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    found.save(tmp_path / "run")
    assert (tmp_path / "run" / "calibration.json").is_file()
    assert Calibration.load(tmp_path / "run") == found
    found.save(tmp_path / "other.json")
    assert Calibration.load(tmp_path / "other.json") == found
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.json", "run"]


@pytest.mark.parametrize("support", [2, ["0", "1"]])
def test_json_brings_back_one_of_tasks_across_domains(support, tmp_path):
    x, y = torch.randn(120, 4), torch.arange(120) % 6
    tasks = qs.tasks.LabelledTasks(x, y, ways=3, shots=2, queries=3, columns={"voice": [str(row // 30) for row in range(120)]})
    found = calibrate(qs.NearestCentroid(), qs.tasks.across(tasks, "voice", support=support), episodes=10)
    found.save(tmp_path)
    assert found.protocol["across"] == "voice"
    again = Calibration.load(tmp_path)
    assert json.dumps(again.to_dict(), sort_keys=True) == json.dumps(found.to_dict(), sort_keys=True)


def test_files_that_are_no_calibration(tmp_path):
    with pytest.raises(CheckpointError, match=r"calibration\.json`: expected a calibration, got no such file"):
        Calibration.load(tmp_path)
    (tmp_path / "calibration.json").write_text("{", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"expected a calibration, got what does not parse as JSON"):
        Calibration.load(tmp_path)
    (tmp_path / "calibration.json").write_text(json.dumps(sealed({"format": 9})), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"expected a calibration, got what does not fit: format: expected 1, got 9"):
        Calibration.load(tmp_path)


def test_refusals():
    tasks = gaussian().validation
    with pytest.raises(TaskError, match=r"`tasks`: expected classes for 8 ways and left_out=1 more in each task, got fewer"):
        calibrate(CentredCentroid(), gaussian(ways=8).validation)
    with pytest.raises(UnsupportedError, match=r"`tasks`: expected tasks with classes, got SinusoidTasks, with targets"):
        calibrate(CentredCentroid(), qs.tasks.Sinusoid().validation)
    with pytest.raises(ArgumentError, match=r"`left_out`: expected 1 or more, got 0"):
        calibrate(CentredCentroid(), tasks, left_out=0)
    with pytest.raises(ArgumentError, match=r"`episodes`: expected 1 or more, got 0"):
        calibrate(CentredCentroid(), tasks, 0)
    with pytest.raises(ArgumentError, match=r"`scores`: expected one or more, got none"):
        calibrate(CentredCentroid(), tasks, 5, scores=())

    class Broken(qs.NearestCentroid):
        def predict(self, state, x):
            return super().predict(state, x) * torch.nan

    with pytest.raises(NotFiniteError, match=r"`calibrate`: expected finite predictions, got NaN or infinity in episode 0"):
        calibrate(Broken(), tasks, 2)


# ---- one calibration for each head -------------------------------------------------------------------------------------


def test_each_head_has_a_calibration_of_its_own(tmp_path):
    tasks = qs.tasks.GaussianClasses(ways=3, dim=4, shots=5).validation
    learner = qs.Prototypical(torch.nn.Identity())
    made = {head: qs.calibrate(learner, tasks, episodes=20, head=head) for head in ("own", "ridge")}
    assert made["ridge"].head == "ridge"
    assert made["own"].head == "own"
    assert made["own"].temperature != pytest.approx(made["ridge"].temperature, rel=0.05)
    same = qs.calibrate(with_head(learner, "ridge"), tasks, episodes=20)
    assert made["ridge"].temperature == pytest.approx(same.temperature)
    for one in made.values():
        one.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calibration-ridge.json", "calibration.json"]
    assert calibrations(tmp_path) == made


def test_a_calibration_under_the_name_of_another_head_is_refused(tmp_path):
    tasks = qs.tasks.GaussianClasses(ways=3, dim=4, shots=5).validation
    qs.calibrate(qs.Prototypical(torch.nn.Identity()), tasks, episodes=20).save(tmp_path / "calibration-ridge.json")
    with pytest.raises(
        CheckpointError, match=r"expected a calibration for the head 'ridge', got one for 'own'\. Calibrate again"
    ):
        calibrations(tmp_path)


def test_heads_that_cannot_be_calibrated():
    tasks = qs.tasks.GaussianClasses(ways=3, dim=4, shots=5).validation
    with pytest.raises(ArgumentError, match=r"`head`: expected one of own, centroid, ridge, logistic, got 'tree'"):
        qs.calibrate(qs.Prototypical(torch.nn.Identity()), tasks, episodes=20, head="tree")
    with pytest.raises(UnsupportedError, match=r"`head='ridge'`: expected a learner with features"):
        qs.calibrate(qs.MAML(qs.models.mlp(4, 3), inner_lr=0.1), tasks, episodes=20, head="ridge")
