"""An export brings a program that names images as `quickstudy predict` does, in a process without quickstudy."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from quickstudy.cli import main

GUARD = """
import runpy, sys
for name in {hidden!r}:
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
HIDDEN = {"onnx": ["quickstudy", "torch"], "torch.export": ["quickstudy"]}


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Two classes of shapes, and queries of every kind of image: sizes, colour, transparency, 16 bits, JPEG, turned by EXIF."""
    generator = np.random.default_rng(0)
    for name in ("bar", "ring"):
        (tmp_path / "support" / name).mkdir(parents=True)
        Image.fromarray(shape(name, 60)).save(tmp_path / "support" / name / "0.png")
    (tmp_path / "query").mkdir()
    grey = Image.fromarray(shape("ring", 90))
    wide = Image.fromarray(generator.integers(0, 256, (40, 130, 3), dtype=np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6
    grey.resize((20, 20)).save(tmp_path / "query" / "small.png")
    wide.save(tmp_path / "query" / "wide.png")
    wide.save(tmp_path / "query" / "turned.jpg", exif=turned)
    Image.fromarray(shape("bar", 900)).convert("RGB").save(tmp_path / "query" / "large.jpg")
    wide.convert("RGBA").resize((50, 50)).save(tmp_path / "query" / "clear.png")
    Image.fromarray(shape("bar", 50)).convert("LA").save(tmp_path / "query" / "grey_alpha.png")
    Image.fromarray(shape("bar", 50).astype(np.uint16) * 257).save(tmp_path / "query" / "deep.png")
    wide.convert("P").save(tmp_path / "query" / "palette.gif")
    monkeypatch.chdir(tmp_path)


def shape(name, size):
    """Dark on white: a thick bar or a ring."""
    y, x = np.mgrid[:size, :size] / size - 0.5
    ink = abs(x) < 0.1 if name == "bar" else abs(np.hypot(x, y) - 0.3) < 0.08
    return np.where(ink, 20, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("format", "head"), [("onnx", "auto"), ("torch.export", "auto"), ("onnx", "ridge"), ("onnx", "logistic")]
)
def test_the_program_answers_as_predict_does(folders, format, head, capsys):
    file = "p.onnx" if format == "onnx" else "p.pt2"
    assert main(["export", "--support", "support", "--format", format, "--out", file, "--head", head]) == 0
    shown = capsys.readouterr().out
    assert f"{file}.py: names images by both" in shown
    assert f"head: {'own (with one example of a class' if head == 'auto' else head}" in shown
    for more in ([], ["--unknown"]):
        assert main(["predict", "--support", "support", "--query", "query", "--json", "--head", head, *more]) == 0
        wanted = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert len(wanted) == 8
        assert {row["head"] for row in wanted} == {"own" if head == "auto" else head}
        program = [sys.executable, "-c", GUARD.format(hidden=HIDDEN[format]), f"{file}.py", *more]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        files = [row["file"] for row in wanted]
        done = subprocess.run([*program, *files], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert [row.pop("probability") for row in found] == pytest.approx([row.pop("probability") for row in wanted], abs=1e-6)
        assert found == wanted


def test_the_graph_names_its_inputs_and_outputs(folders):
    import onnxruntime

    assert main(["export", "--support", "support", "--format", "onnx", "--out", "p.onnx"]) == 0
    session = onnxruntime.InferenceSession("p.onnx")
    assert ([one.name for one in session.get_inputs()], [one.name for one in session.get_outputs()]) == (["images"], ["logits"])
