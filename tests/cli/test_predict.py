"""predict: the nearest class beside "unknown", the accuracy of labelled folders, and a broken file that hides no other."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from tests.cli.test_cli import write_images

import quickstudy as qs
from quickstudy.artifacts.run import ready_to_predict
from quickstudy.artifacts.store import run_folder
from quickstudy.cli import main
from quickstudy.cli.image_folders import ImageReader
from quickstudy.domains.images.drawing import draw_characters
from quickstudy.evaluation.calibration import calibrations
from quickstudy.evaluation.head_choice import choose_head, with_head

NAMES = ["one", "two", "three"]


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Three classes with two images each, two further images of each class in folders of their names, and a fourth character."""
    drawn = draw_characters(4, 4, generator=torch.Generator().manual_seed(0))
    write_images(tmp_path / "support", drawn[:3, :2], NAMES)
    write_images(tmp_path / "query", drawn[:3, 2:], NAMES)
    write_images(tmp_path / "query", drawn[3:, 2:], ["another"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


WORDS = ["predict", "--support", "support", "--query", "query"]


def test_labelled_folders_give_an_accuracy(folders, capsys):
    assert main([*WORDS, "--json"]) == 0
    shown = capsys.readouterr()
    rows = [json.loads(line) for line in shown.out.splitlines()]
    labels = [row.get("label") for row in rows]
    assert labels == [None, None, "one", "one", "three", "three", "two", "two"]
    right = sum(row["class"] == row.get("label") for row in rows)
    line = f"accuracy {100 * right / 6:.1f} %: {right} of the 6 images in folders of a class"
    assert shown.err == line + "\n"
    assert main(WORDS) == 0
    assert capsys.readouterr().out.splitlines()[-1] == line
    assert main(["predict", "--support", "support", "--query", "query/another"]) == 0
    assert "accuracy" not in capsys.readouterr().out


def test_the_nearest_class_is_beside_unknown(folders, capsys):
    assert main([*WORDS, "--json", "--head", "own"]) == 0  # the head that tells unknown images best
    known = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all("nearest" not in row for row in known)
    assert main([*WORDS, "--json", "--unknown"]) == 0
    shown = capsys.readouterr()
    rows = [json.loads(line) for line in shown.out.splitlines()]
    assert [(row["nearest"], row["probability"]) for row in rows] == [(row["class"], row["probability"]) for row in known]
    rejected = [row for row in rows if row["class"] == "unknown"]
    assert rejected
    labelled = sum(row["class"] == "unknown" for row in rows if "label" in row)
    assert ("called unknown" in shown.err) == bool(labelled)
    assert main([*WORDS, "--unknown"]) == 0
    assert f"unknown (nearest: {rejected[0]['nearest']})  {rejected[0]['probability']:.3f}" in capsys.readouterr().out


def test_a_broken_image_hides_no_other(folders, capsys):
    (folders / "query" / "one" / "0.png").write_bytes(b"no image")
    (folders / "query" / "two" / "1.png").write_bytes((folders / "query" / "two" / "1.png").read_bytes()[:90])
    assert main([*WORDS, "--json"]) == 1
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 6
    for text in (
        "query/one/0.png`: expected an image",
        "query/two/1.png`: expected",
        "2 of 8 images could not be read",
        "of the 4",
    ):
        assert text in shown.err
    assert main([*WORDS, "--strict"]) == 2
    shown = capsys.readouterr()
    assert (shown.out, "query/one/0.png (none of PNG" in shown.err, "; query/two/1.png (" in shown.err) == ("", True, True)
    assert main(["predict", "--support", "support", "--query", "query/one/0.png"]) == 2
    assert capsys.readouterr().out == ""
    for name in ("one", "two"):
        (folders / "support" / name / "0.png").write_bytes(b"no image")
    assert main(WORDS) == 2
    shown = capsys.readouterr()
    assert (shown.out, "support/one/0.png (" in shown.err, "support/two/0.png (" in shown.err) == ("", True, True)


# ---- the head ----------------------------------------------------------------------------------------------------------


def heads(words: list[str], capsys) -> tuple[str, str]:
    """The head of the JSON records, and the line on it of the text."""
    assert main([*words, "--json"]) == 0
    (head,) = {json.loads(line)["head"] for line in capsys.readouterr().out.splitlines()}
    assert main(words) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("head: ")]
    return head, line


def support_of(folders, preprocessing):
    """The class names and the examples of the folder."""
    shown = ImageReader(preprocessing, "").support(folders / "support")
    return shown.names, qs.Examples(preprocessing.apply(shown.x), shown.y, ways=len(shown.names))


def test_the_head_is_chosen_by_the_support_and_stated(folders, capsys):
    learner, preprocessing = ready_to_predict("strokes", "images")
    choice = choose_head(learner, support_of(folders, preprocessing)[1])
    head, line = heads(WORDS, capsys)
    assert head == choice.head
    assert line == f"head: {choice}"
    assert "own " in line
    assert "logistic " in line


def test_a_fixed_head_answers_as_it_does(folders, capsys):
    learner, preprocessing = ready_to_predict("strokes", "images")
    names, support = support_of(folders, preprocessing)
    calibration = calibrations(run_folder("strokes"))["ridge"]
    assert heads([*WORDS, "--head", "ridge"], capsys) == ("ridge", "head: ridge (as it was asked for)")
    assert main([*WORDS, "--json", "--head", "ridge"]) == 0
    for row in map(json.loads, capsys.readouterr().out.splitlines()):
        x = preprocessing.apply(preprocessing.read(row["file"])[None])
        (probability,) = calibration.probabilities(with_head(learner, "ridge").adapt(support)(x))
        assert row["class"] == names[int(probability.argmax())]
        assert row["probability"] == pytest.approx(float(probability.max()), abs=1e-5)


def test_one_image_of_a_class_keeps_the_learners_own_head(folders, capsys):
    for name in NAMES:
        (folders / "support" / name / "1.png").unlink()
    assert heads(WORDS, capsys) == ("own", "head: own (with one example of a class none can be left out)")


def test_a_head_without_a_calibration_has_no_temperature_and_no_threshold(folders, capsys):
    shutil.copytree(run_folder("strokes"), "run")
    for head in ("ridge", "logistic"):
        (folders / "run" / f"calibration-{head}.json").unlink()
    words = ["predict", "run", *WORDS[1:]]
    head, line = heads([*words, "--head", "ridge"], capsys)
    assert (head, line) == ("ridge", "head: ridge (as it was asked for); without a calibration: probabilities are its softmax")
    assert heads([*words, "--unknown"], capsys)[0] == "own"  # the only head that can tell what is unknown
    assert main([*words, "--unknown", "--head", "ridge"]) == 2
    message = (
        "`--unknown`: expected a calibration of the run for the head that answers, ridge (as it was asked for), got calibrations"
    )
    assert f"{message} for own. Add --head own, or leave --unknown out." in capsys.readouterr().err


def test_a_head_for_a_learner_without_features(folders, capsys):
    shutil.copytree(run_folder("strokes"), "run")
    qs.MAML(qs.models.conv4(3), inner_lr=0.1).save("run/learner")
    assert main(["predict", "run", *WORDS[1:], "--head", "ridge"]) == 2
    assert "`head='ridge'`: expected a learner with features of each example" in capsys.readouterr().err
