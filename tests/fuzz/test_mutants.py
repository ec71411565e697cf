"""Every JSON file that is read, with every node of it replaced, left out or renamed, and sealed again: it reads, or it is refused
by an error of ours, at once and in little memory. Without the seal, any change at all is refused.
"""

from __future__ import annotations

import itertools
import json
import time

import numpy as np
import pytest
import torch
from tests.artifacts.vouched import put
from tests.fuzz.mutants import mutants
from tests.fuzz.targets import watched

import quickstudy as qs
from quickstudy.artifacts.identity import identity
from quickstudy.artifacts.run import Run
from quickstudy.errors import QuickstudyError
from quickstudy.evaluation import Calibration
from quickstudy.tasks.distribution.class_lists import read_class_lists

pytestmark = [pytest.mark.timeout(200), pytest.mark.wrong_types]

SLOW = 5.0  # seconds that no file may take
X = np.random.default_rng(0).normal(size=(6, 2))


def learner(made):
    return lambda folder: made().save(folder), lambda folder: qs.load(folder), "config.json"


def predictor(folder):
    qs.MAML(qs.models.mlp(2, 2, hidden=(3,))).adapt(qs.Examples(torch.randn(4, 2), torch.arange(4) % 2)).save(folder)


def classifier(folder):
    qs.FewShotClassifier().fit(X, np.array(["a", "b"] * 3)).save(folder)


def regressor(folder):
    qs.FewShotRegressor().fit(X, np.arange(6.0)).save(folder)


def calibration(folder):
    qs.calibrate(qs.NearestCentroid(), qs.tasks.GaussianClasses(ways=2, dim=4).validation, episodes=20).save(folder)


def run(folder):
    tasks = qs.tasks.GaussianClasses(ways=2, dim=2)
    options = {"steps": 1, "tasks_per_step": 1, "validation_episodes": 2, "progress": False, "out": folder}
    qs.meta_train(qs.Prototypical(qs.models.mlp(2, 2, hidden=(3,))), tasks, **options)
    qs.artifacts.run.write_evaluation(folder, qs.evaluate(qs.NearestCentroid(), tasks.test, episodes=3))


def recommender(folder):
    rows = np.random.default_rng(0)
    names = tuple(map(str, range(4)))
    results = qs.select.Results(
        tuple(qs.select.grid()[:2]), ("simple.log_rows",), names, names, rows.normal(size=(4, 1)), rows.random((4, 2))
    )
    qs.select.Recommender().fit(results).save(folder)
    results.save(folder / "results.json")


FORMATS = {
    "MAML": learner(lambda: qs.MAML(qs.models.mlp(2, 2, hidden=(3,)), inner_lr=0.1)),
    "MAML++": learner(lambda: qs.MAMLPlusPlus(qs.models.mlp(2, 2, hidden=(3,)))),
    "Prototypical": learner(lambda: qs.Prototypical(qs.models.conv4(channels=2))),
    "ResNet": learner(lambda: qs.R2D2(qs.models.resnet12(channels=(2, 2, 2, 2)))),
    "InContext": learner(lambda: qs.InContext(features=2, width=4, depth=1, heads=1)),
    "Ensemble": learner(lambda: qs.Ensemble(qs.R2D2(qs.models.mlp(2, 2, hidden=(3,))), 2)),
    "NeuralProcess": learner(lambda: qs.NeuralProcess(2, 1, width=4)),
    "predictor": (predictor, lambda folder: qs.load(folder), "config.json"),
    "classifier": (classifier, lambda folder: qs.FewShotClassifier.load(folder).predict(X), "estimator.json"),
    "regressor": (regressor, lambda folder: qs.FewShotRegressor.load(folder).predict(X), "estimator.json"),
    "calibration": (calibration, lambda folder: str(Calibration.load(folder)), "calibration.json"),
    "preprocessing": (
        lambda folder: qs.tasks.Preprocessing(28, 1, mean=(0.5,), std=(0.2,)).save(folder),
        lambda folder: qs.tasks.Preprocessing.load(folder).apply(torch.zeros(1, 1, 4, 4)),
        "preprocessing.json",
    ),
    "identity": (run, identity, "identity.json"),
    "evaluation": (run, lambda folder: Run.open(folder).evaluation, "evaluation.json"),
    "recommender": (recommender, lambda folder: qs.select.Recommender.load(folder).recommend(X, [0, 1] * 3), "config.json"),
    "results": (recommender, lambda folder: qs.select.Results.load(folder / "results.json"), "results.json"),
    "class lists": (
        lambda folder: (folder / "split.json").write_text('{"train": ["a", "b"], "validation": ["c"], "test": ["d"]}'),
        lambda folder: read_class_lists(folder / "split.json"),
        "split.json",
    ),
}
UNSEALED = ("results", "class lists")


@pytest.mark.parametrize("name", FORMATS)
def test_every_mutant_reads_or_is_refused(name, tmp_path):
    write, read, file = FORMATS[name]
    write(tmp_path)
    read(tmp_path)
    tree = json.loads((tmp_path / file).read_text())
    tree.pop("sha256", None)
    every = list(mutants(tree))
    some = itertools.islice(every, 0, None, max(len(every) // 700, 1))
    refused = 0
    for place, done, mutant in some:
        put(tmp_path, mutant, file)
        began = time.perf_counter()
        try:
            with watched():
                read(tmp_path)
        except QuickstudyError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"{place}: {done} leads to {type(error).__name__}: {error}") from error
        assert time.perf_counter() - began < SLOW, f"{place}: {done} takes {time.perf_counter() - began:.0f} s"
    assert refused > 5


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in UNSEALED])
def test_any_change_breaks_the_seal(name, tmp_path):
    write, read, file = FORMATS[name]
    write(tmp_path)
    text = (tmp_path / file).read_text()
    tree = json.loads(text)
    (tmp_path / file).write_text(json.dumps(tree))  # laid out in another way, it says the same
    read(tmp_path)
    every = [mutant for _, _, mutant in mutants(tree) if mutant != tree]
    for mutant in every[:: max(len(every) // 60, 1)]:
        (tmp_path / file).write_text(json.dumps(mutant))
        with pytest.raises(QuickstudyError):
            read(tmp_path)
