"""The diagnostic: biases with a known size, who is to be chosen, what is refused; CKA by its properties."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from tests.meta.runs import Decays, Replayed, Scalar
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.diagnostics.cka import cka
from quickstudy.diagnostics.diagnose import LayerRow, diagnose
from quickstudy.meta.estimators.backprop import Backprop
from quickstudy.meta.estimators.evolution import Evolution, PersistentEvolution
from quickstudy.meta.estimators.forward_mode import ForwardMode
from quickstudy.meta.estimators.score_function import ScoreFunction
from quickstudy.tasks.synthetic.quadratic import Quadratic, half_squares


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_cka_by_its_properties():
    """1 under rotation, scaling and shift; not under a general linear map; the two ways of computing it agree."""
    X = random(30, 5)
    Q = torch.linalg.qr(random(5, 5, seed=1))[0]
    assert float(cka(X, X)) == pytest.approx(1)
    assert float(cka(X, 3 * X @ Q + 7)) == pytest.approx(1)
    stretched = X @ torch.diag(torch.tensor([20.0, 1, 1, 1, 1]).double())
    assert float(cka(X, stretched)) < 0.7
    assert float(cka(X, random(30, 5, seed=2))) < 0.5
    Y = random(30, 3, seed=3) + X[:, :3]
    x, y = X - X.mean(0), Y - Y.mean(0)
    H = (x.T @ y).square().sum() / ((x.T @ x).square().sum() * (y.T @ y).square().sum()).sqrt()
    assert float(cka(X, Y)) == pytest.approx(float(H))
    wide = random(5, 40, seed=4)
    assert float(cka(X[:5], wide)) == pytest.approx(float(cka(X[:5].reshape(5, 5, 1), wide)), rel=1e-12)
    kept = wide @ torch.linalg.qr(random(40, 40, seed=5))[0]
    assert float(cka(wide, kept)) == pytest.approx(1)
    with pytest.raises(errors.ShapeError, match=r"`cka\(X, Y\)`: expected features of the same examples"):
        cka(X, X[:4])


def line():
    torch.manual_seed(0)
    return nn.Linear(4, 1, bias=False, dtype=torch.float64)


def test_biases_of_hypergradients():
    """Unrolled has none; first order has that of M, which a direct computation gives."""
    learner = qs.MAML(line(), inner_lr=0.2, inner_steps=2, loss=half_squares)
    found = diagnose(learner, Quadratic(dtype=torch.float64), batches=6, tasks_per_batch=5)
    rows = {row.name: row for row in found.estimators}
    assert list(rows) == ["Unrolled", "FirstOrder", "Truncated(1)", "Evolution"]
    assert rows["Unrolled"].bias == 0
    assert rows["FirstOrder"].bias > rows["Truncated(1)"].bias > 0.05
    generator, exact, first = torch.Generator().manual_seed(0), [], []
    other = qs.FOMAML(learner.network, inner_lr=0.2, inner_steps=2, loss=half_squares)
    for _ in range(6):
        episodes = Quadratic(dtype=torch.float64).train.sample(5, generator=generator)
        torch.randint(2**31, (5,), generator=generator)  # the seeds of dropout
        exact.append(qs.meta_gradient(learner, episodes)[1]["network.weight"][0])
        first.append(qs.meta_gradient(other, episodes)[1]["network.weight"][0])
    G, g = torch.stack(exact), torch.stack(first)
    assert rows["FirstOrder"].bias == pytest.approx(float((g - G).mean(0).norm() / G.mean(0).norm()), rel=1e-6)
    assert rows["FirstOrder"].variance == pytest.approx(float(g.var(0).sum() / G.mean(0).norm() ** 2), rel=1e-6)
    assert rows["Evolution"].bias < 5 * rows["Evolution"].bias_error
    assert rows["FirstOrder"].bias > 5 * rows["FirstOrder"].bias_error or rows["FirstOrder"].error > rows["Unrolled"].error
    assert rows[found.choose].error == min(row.error for row in found.estimators)  # which one it is, depends on the machine


def test_a_training_run_over_whole_runs():
    """Truncation is biased by the amount that test_carried.py knows; forward mode is exact, PES within its noise."""
    b, m = random(2, 20), random(2, 20, seed=1)
    run = Scalar(steps=20)
    estimators = {"Backprop": Backprop(), "ForwardMode": ForwardMode(), "PES": PersistentEvolution(200, sigma=0.1)}
    found = diagnose(run, Replayed(b, m, 4), batches=8, tasks_per_batch=2, estimators=estimators)
    rows = {row.name: row for row in found.estimators}
    assert rows["Backprop"].bias > 0.1
    assert rows["Backprop"].bias_error < 1e-9
    assert rows["ForwardMode"].bias < 1e-10
    assert rows["PES"].bias < 4 * rows["PES"].bias_error
    assert found.choose == "ForwardMode"
    assert found.layers == ()
    assert found.conclusion is None


def test_layers_tell_feature_reuse_from_rapid_learning():
    """ANIL moves its head alone: every feature below stays, CKA 1. Large steps through all layers change them."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(1, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 1))
    tasks = qs.tasks.Sinusoid()
    options = {"batches": 2, "tasks_per_batch": 3, "estimators": {"Unrolled": qs.Unrolled()}}
    still = diagnose(qs.ANIL(network, adapts="4.*", inner_lr=0.05, inner_steps=3), tasks, **options)
    assert [row.name for row in still.layers] == ["network.4"]
    whole = diagnose(qs.MAML(network, inner_lr=1e-4, inner_steps=1), tasks, **options)
    assert [row.name for row in whole.layers] == ["network.0", "network.2", "network.4"]
    assert whole.conclusion == "feature reuse"
    assert all(row.moved < 0.01 for row in whole.layers)
    wild = diagnose(qs.MAML(network, inner_lr=0.3, inner_steps=20), tasks, **options)
    assert all(far.moved > 10 * near.moved for far, near in zip(wild.layers, whole.layers, strict=True))
    assert wild.layers[-1].cka < 0.7 < whole.layers[-1].cka
    changed = (LayerRow("0", 0.5, 0.95), LayerRow("2", 0.5, 0.4), LayerRow("4", 1.0, 1.0))
    assert replace(wild, layers=changed).conclusion == "rapid learning"
    assert replace(wild, layers=changed[:1]).conclusion is None


def test_table_picture_and_json(tmp_path):
    learner = qs.MAML(line(), inner_lr=0.2, inner_steps=2, loss=half_squares)
    estimators = {"Unrolled": qs.Unrolled(), "ScoreFunction": ScoreFunction()}
    found = diagnose(learner, Quadratic(dtype=torch.float64), batches=2, estimators=estimators)
    text = str(found)
    assert "Unrolled" in text
    assert "<- choose" in text
    assert "no distribution to draw from" in text
    assert "network" in text
    found.plot(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 5000
    assert json.loads(json.dumps(found.to_dict()))["choose"] == "Unrolled"


def test_what_it_refuses():
    tasks = Quadratic(dtype=torch.float64)
    learner = qs.MAML(line(), loss=half_squares)
    with pytest.raises(errors.ArgumentError, match=r"`batches`: expected 2 or more, got 1"):
        diagnose(learner, tasks, batches=1)
    with pytest.raises(errors.UnsupportedError, match=r"`learner`: expected one with meta-parameters"):
        diagnose(qs.NearestCentroid(), tasks)
    with pytest.raises(errors.ArgumentError, match=r"`estimators`: expected one that serves"):
        diagnose(learner, tasks, batches=2, estimators={"ScoreFunction": ScoreFunction()})
    with pytest.raises(errors.ArgumentError, match=r"`executor`: expected 'auto', 'loop' or 'vmap'"):
        diagnose(learner, tasks, executor="threads")
    assert diagnose(Decays().double(), tasks, batches=2, estimators={"Evolution": Evolution(8)}).choose == "Evolution"
