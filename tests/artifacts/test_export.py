"""An exported file, run by another program, answers as the predictor does; and a file that does not is not kept."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy.artifacts import export as module
from quickstudy.artifacts.export import export
from quickstudy.errors import ArgumentError, ConvergenceError, MissingPackageError, UnsupportedError

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

LEARNERS = {
    "Prototypical, running": lambda: qs.Prototypical(qs.models.conv4(channels=4, size=16)),
    "Prototypical, support": lambda: qs.Prototypical(qs.models.conv4(channels=4, size=16), normalisation="support"),
    "MAML": lambda: qs.MAML(qs.models.conv4(ways=3, channels=4, size=16), inner_lr=0.1),
    "Ridge": lambda: qs.Ridge(qs.models.conv4(channels=4, size=16)),
}
RUN_PROGRAM = """
import sys, torch
assert "quickstudy" not in sys.modules
x = torch.load(sys.argv[2])
torch.save(torch.export.load(sys.argv[1]).module()(x), sys.argv[3])
assert "quickstudy" not in sys.modules
"""
RUN_ONNX = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
x = numpy.load(sys.argv[2])
numpy.save(sys.argv[3], session.run(None, {session.get_inputs()[0].name: x})[0])
assert "torch" not in sys.modules
"""


def adapted(name="Prototypical, running"):
    torch.manual_seed(0)
    x = torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    predictor = LEARNERS[name]().adapt(qs.Examples(x, torch.arange(6) % 3))
    return predictor, torch.rand(5, 1, 16, 16, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("name", LEARNERS)
def test_a_program_runs_without_quickstudy(name, tmp_path):
    predictor, x = adapted(name)
    assert export(predictor, tmp_path / "p.pt2", x) < 1e-5
    torch.save(x[:3], tmp_path / "x.pt")
    run(RUN_PROGRAM, tmp_path, "p.pt2", "x.pt", "y.pt")
    torch.testing.assert_close(torch.load(tmp_path / "y.pt"), predictor(x[:3]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_graph_runs_without_torch(name, tmp_path):
    predictor, x = adapted(name)
    assert export(predictor, tmp_path / "p.onnx", x, "onnx") < 1e-3
    np.save(tmp_path / "x.npy", x[:3].numpy())
    run(RUN_ONNX, tmp_path, "p.onnx", "x.npy", "y.npy")
    torch.testing.assert_close(torch.from_numpy(np.load(tmp_path / "y.npy")), predictor(x[:3]), rtol=1e-3, atol=1e-3)


def run(code, folder, *words):
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_file_that_answers_otherwise_is_not_kept(tmp_path, monkeypatch):
    predictor, x = adapted()
    write = module._write_program

    def wrong(*given):
        answer = write(*given)
        return lambda some: answer(some) * 1.01

    monkeypatch.setattr(module, "_write_program", wrong)
    with pytest.raises(ConvergenceError, match=r"`format`: expected a file that answers as the predictor does, within 0.001"):
        export(predictor, tmp_path / "p.pt2", x)
    assert not list(tmp_path.iterdir())


class Branching(nn.Module):
    def forward(self, x):
        return x.flatten(1) if x.sum() > 0 else -x.flatten(1)


def test_a_network_that_torch_cannot_trace(tmp_path):
    predictor = qs.Prototypical(Branching()).adapt(qs.Examples(torch.rand(4, 3), torch.tensor([0, 1, 0, 1])))
    with pytest.raises(UnsupportedError, match="expected a network that torch can trace: no branch on the values of x"):
        export(predictor, tmp_path / "p.pt2", torch.rand(4, 3))
    assert not (tmp_path / "p.pt2").exists()


def test_refused_by_name(tmp_path, monkeypatch):
    predictor, x = adapted()
    with pytest.raises(ArgumentError, match=r"`format`: expected 'torch.export' or 'onnx', got 'pickle'"):
        export(predictor, tmp_path / "p", x, "pickle")
    with pytest.raises(ArgumentError, match="`x`: expected 2 examples or more, got 1"):
        export(predictor, tmp_path / "p", x[:1])
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"got no onnx, onnxscript, onnxruntime"):
        export(predictor, tmp_path / "p", x, "onnx")
