"""The ground of pictures: told by their border, kept with how they are read, and warned of where it is another one."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import quickstudy as qs
from quickstudy.artifacts.run import ready_to_predict
from quickstudy.cli import main
from quickstudy.domains.images.ground import ground_of, other_ground
from quickstudy.domains.images.mnist import mnist
from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.errors import DataWarning
from quickstudy.tasks import Strokes, from_arrays


def strokes(light: bool = False) -> torch.Tensor:
    """Drawn characters (classes, 6, 1, 28, 28), uint8, white on black, or the contrary."""
    tasks = Strokes(ways=2, queries=2, classes=(3, 3, 5), examples=6, seed=5).test
    images = tasks.x.unflatten(0, (5, 6))
    return 255 - images if light else images


def test_the_border_tells_the_ground():
    dark = strokes().flatten(0, 1)
    assert (ground_of(dark), ground_of(255 - dark)) == ("dark", "light")
    assert ground_of(dark.float() / 255) == "dark"
    assert ground_of(torch.cat([dark[:15], 255 - dark[15:]])) is None
    assert ground_of(torch.cat([dark, 255 - dark[:3]])) == "dark"  # three of 33 are others
    assert ground_of(torch.rand(200, 3, 28, 28, generator=torch.Generator().manual_seed(0))) is None
    assert ground_of(torch.full((4, 3, 8, 8), 128, dtype=torch.uint8)) is None
    assert ground_of(dark[:0]) is None


def test_a_sentence_says_which_is_which():
    dark = strokes().flatten(0, 1)
    said = "the 30 pictures have a light ground, and the learner was trained on a dark one"
    assert other_ground(255 - dark, "dark") == said
    assert other_ground(dark, "dark") is other_ground(dark, None) is None


def test_it_is_kept_with_how_images_are_read(tmp_path: Path):
    light = strokes(light=True).flatten(0, 1)
    fitted = Preprocessing(28, channels=1).fitted(light)
    assert fitted.ground == fitted.trained_ground == "light"
    fitted.save(tmp_path)
    assert Preprocessing.load(tmp_path) == fitted
    assert Preprocessing(28, channels=1).trained_ground is None
    assert Preprocessing(28, channels=1, invert=True).trained_ground == "dark"
    before = {key: value for key, value in fitted.to_dict().items() if key != "ground"}  # as an older run has it
    assert Preprocessing.from_dict(before).ground is None
    family = from_arrays(light.numpy(), np.arange(5).repeat(6), ways=1, queries=2, split=(3, 1, 1), invert=True)
    assert family.preprocessing.ground == "dark"


@pytest.mark.needs("MNIST")
def test_real_digits_are_dark():
    from tests import needs

    digits = mnist(needs.DATA / "mnist").test_x
    for start in range(0, 500, 25):
        assert ground_of(digits[start : start + 25]) == "dark"


# ---- the warnings --------------------------------------------------------------------------------------------------------


def write(root: Path, light: bool) -> Path:
    """A support of one and a query of five pictures for each of five classes."""
    for label, images in enumerate(strokes(light)):
        for number, image in enumerate(images):
            path = root / ("support" if number == 0 else "query") / f"class{label}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0].numpy()).save(path)
    return root


def predicted(root: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[list[dict], str]:
    assert main(["predict", "--support", str(root / "support"), "--query", str(root / "query"), "--json", *words]) == 0
    said = capsys.readouterr()
    return [json.loads(line) for line in said.out.splitlines()], said.err


def test_predict_says_so_and_invert_mends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    paper, board = write(tmp_path / "paper", light=True), write(tmp_path / "board", light=False)
    rows, said = predicted(paper, capsys)
    assert "warning" not in said
    _, said = predicted(board, capsys)
    for option, count in (("--support", 5), ("--query", 25)):
        assert f"quickstudy: warning: {option}: the {count} pictures have a light ground, and the learner was trained" in said
    assert "add --invert (in Python: `invert=` of a Preprocessing)" in said
    mended, said = predicted(board, capsys, "--invert")
    assert "warning" not in said
    assert [one["probability"] for one in mended] == pytest.approx([one["probability"] for one in rows], abs=1e-5)
    _, said = predicted(paper, capsys, "--invert")
    assert "Leave --invert out." in said


def test_the_classifier_warns_at_fit_and_at_predict():
    learner, preprocessing = ready_to_predict("strokes", "images")
    images, y = strokes(), np.arange(5)
    classifier = qs.FewShotClassifier(learner, preprocessing=preprocessing)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier.fit(images[:, 0].numpy(), y).predict(images[:, 1].numpy())
    with pytest.warns(DataWarning, match=r"`X`: the 5 pictures have a light ground, .* on a dark one\. Give 255 - X .*`invert=`"):
        classifier.predict(255 - images[:, 1].numpy())
    with pytest.warns(DataWarning, match="light ground"):
        classifier.fit(1 - images[:, 0].numpy() / 255.0, y)
