"""Which example to label next, and which support example the others contradict."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.make.contradictions import chosen, margins
from PIL import Image
from torch import nn

import quickstudy as qs
from quickstudy.cli import main
from quickstudy.domains.images.drawing import draw_characters
from quickstudy.errors import ArgumentError, DataWarning, UnsupportedError
from quickstudy.learners.contradictions import MARGIN, Contradiction, contradicted, judged
from quickstudy.targets import Binary, Labels, MultiLabel, TokenLabels, Values

LEARNER = qs.Prototypical(nn.Identity())
NORMAL = 0.5 * math.log(2 * math.pi * math.e)  # the entropy of a standard normal value
CENTRES = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])


def support(shots: int = 4, changed: int | None = None) -> qs.Examples:
    """Three classes, far apart; the example `changed` has the label of the next class."""
    y = torch.arange(3).repeat_interleave(shots)
    x = CENTRES[y] + torch.rand(len(y), 2, generator=torch.Generator().manual_seed(0))
    if changed is not None:
        y[changed] = (y[changed] + 1) % 3
    return qs.Examples(x, y, ways=3)


# ---- which to label next -------------------------------------------------------------------------------------------------


def test_what_lies_between_two_classes_is_labelled_next():
    predictor = LEARNER.adapt(support())
    pool = torch.tensor([[0.5, 0.5], [5.0, 0.5], [9.4, 0.6], [4.9, 0.4], [0.1, 9.9]])
    assert set(predictor.most_uncertain(pool, 2).tolist()) == {1, 3}
    by_hand = -(predictor.predict_proba(pool) * predictor.predict_proba(pool).clamp(min=1e-30).log()).sum(1)
    assert torch.allclose(predictor.uncertainty(pool), by_hand, atol=1e-6)
    assert predictor.most_uncertain(pool, 5).tolist() == by_hand.argsort(descending=True).tolist()
    assert predictor.most_uncertain(pool).shape == (1,)


@pytest.mark.parametrize(
    ("target", "prediction", "expected"),
    [
        (Labels(2), torch.tensor([[0.0, 0.0, 50.0], [60.0, 0.0, 0.0]]), [math.log(2), 0.0]),
        (TokenLabels(4), torch.zeros(1, 3, 4), [math.log(4)]),
        (Binary(), torch.tensor([0.0, 60.0]), [math.log(2), 0.0]),
        (Binary(), torch.tensor([[3.0, 3.0]]), [math.log(2)]),
        (MultiLabel(), torch.tensor([[0.0, 60.0]]), [math.log(2) / 2]),
        (Values("normal"), torch.tensor([[[1.0, math.log(4.0)]], [[9.0, 0.0]]]), [NORMAL + math.log(2), NORMAL]),
    ],
)
def test_the_entropy_of_every_kind(target, prediction: torch.Tensor, expected: list[float]):
    assert target.uncertainty(prediction).tolist() == pytest.approx(expected, abs=1e-5)


def test_values_without_a_variance_are_refused():
    predictor = qs.Ridge(nn.Identity()).adapt(qs.Examples(torch.randn(6, 2), torch.randn(6, 1)))
    with pytest.raises(UnsupportedError, match=r"`most_uncertain`: expected a task with classes, or values with a variance: "):
        predictor.most_uncertain(torch.randn(3, 2))


@pytest.mark.parametrize("n", [0, 6])
def test_as_many_as_there_are(n: int):
    with pytest.raises(ArgumentError, match=f"`n`: expected 1 to 5, as many as the pool has, got {n}"):
        LEARNER.adapt(support()).most_uncertain(torch.zeros(5, 2), n)


# ---- which the others contradict -----------------------------------------------------------------------------------------


def test_a_changed_label_is_found_and_a_clean_support_is_not_questioned():
    assert contradicted(LEARNER, support()) == []
    found = contradicted(LEARNER, support(changed=1))
    assert [(one.index, one.label, one.nearest) for one in found] == [(1, 1, 0)]
    predictor = LEARNER.adapt(support(changed=1))
    assert predictor.contradicted(support(changed=1)) == found
    assert predictor.contradicted(support(changed=1), margin=found[0].margin + 1) == []


def test_the_margin_is_that_of_leaving_it_out():
    given = support(changed=5)
    (found,) = contradicted(LEARNER, given)
    keep = torch.arange(12) != 5
    logits = LEARNER.adapt(qs.Examples(given.x[keep], given.y[keep], ways=3))(given.x[5:6])[0].log_softmax(0)
    assert found == Contradiction(5, 2, 1, found.margin)
    assert found.margin == pytest.approx(float(logits[1] - logits[2]), rel=1e-5)


def test_two_examples_of_a_class_are_not_judged():
    y = torch.tensor([0, 0, 0, 1, 1])
    assert contradicted(LEARNER, qs.Examples(torch.tensor([[0.0], [0.1], [0.2], [9.0], [0.0]]), y, ways=2)) == []
    y = torch.tensor([0, 0, 0, 1, 1, 1])
    (found,) = contradicted(LEARNER, qs.Examples(torch.tensor([[0.0], [0.1], [0.2], [9.0], [0.0], [9.0]]), y, ways=2))
    assert found.index == 4


def test_a_learner_that_is_wrong_about_most_questions_no_label():
    """Labels drawn at random, where margins are large; then a third of them, where it is right about enough."""
    given, random = support(shots=6), torch.Generator().manual_seed(0)
    y = given.y[torch.randperm(18, generator=random)]
    shuffled = qs.Examples(given.x, y, ways=3)
    assert max(one.margin for one in judged(LEARNER, shuffled)) > MARGIN
    assert contradicted(LEARNER, shuffled) == []
    y = given.y.clone()
    y[::6] = (y[::6] + 1) % 3
    assert {one.index for one in contradicted(LEARNER, qs.Examples(given.x, y, ways=3))} == {0, 6, 12}


def test_values_have_no_class_to_contradict():
    given = qs.Examples(torch.randn(6, 2), torch.randn(6, 1))
    with pytest.raises(UnsupportedError, match="`contradicted`: expected a support with labels, got Values"):
        qs.Ridge(nn.Identity()).adapt(given).contradicted(given)


def test_a_transductive_learner_cannot_be_asked_about_one_example(recwarn):
    network = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4))
    learner = qs.Prototypical(network, normalisation="transductive")
    said = "`contradicted`: expected a learner that answers to one query by itself, got one with normalisation='transductive'"
    with pytest.raises(UnsupportedError, match=said):
        contradicted(learner, support())
    qs.FewShotClassifier(learner).fit(support(changed=1).x.numpy(), support(changed=1).y.numpy())
    assert not list(recwarn)


def test_the_classifier_answers_in_its_labels():
    given = support(changed=1)
    names = np.array(["ant", "bee", "cow"])[given.y.numpy()]
    said = "`y`: the others of its class contradict a row, and speak for another class (row 1, labelled 'bee': 'ant'). "
    with pytest.warns(DataWarning, match=re.escape(said)):
        classifier = qs.FewShotClassifier(LEARNER).fit(given.x.numpy(), names)
    assert classifier.contradicted() == [(1, "bee", "ant")]
    assert classifier.most_uncertain([[0.5, 0.5], [5.0, 0.5]]).tolist() == [1]


def test_fit_questions_only_what_is_cheap_to_question(recwarn):
    clean, wrong, many = support(), support(changed=1), support(shots=67, changed=1)
    qs.FewShotClassifier(LEARNER).fit(clean.x.numpy(), clean.y.numpy())
    qs.FewShotClassifier().fit(wrong.x.numpy(), wrong.y.numpy())  # its own ridge regression: no margin was chosen for it
    classifier = qs.FewShotClassifier(LEARNER).fit(many.x.numpy(), many.y.numpy())
    assert not list(recwarn)
    assert [row for row, *_ in classifier.contradicted()] == [1]  # 201 rows: asked


def test_the_margin_is_the_one_that_the_study_chose():
    record = json.loads((Path(__file__).resolve().parents[2] / "benchmarks/make/contradictions.json").read_text())
    assert record["choice"]["part"] == "validation"
    assert record["choice"]["chosen"] == chosen(record["choice"]["rows"]) == MARGIN
    assert (record["measurement"]["part"], {row["margin"] for row in record["measurement"]["rows"]}) == ("test", {MARGIN})
    assert record["choice"]["seed"] != record["measurement"]["seed"]


def test_the_study_embeds_once_and_finds_the_margins_of_the_learner():
    learner = qs.Prototypical(qs.models.mlp(2, 4), normalisation="running").eval()
    y = torch.arange(15) % 5
    given = qs.Examples(torch.stack([9.0 * y, torch.randn(15)], 1), y, ways=5)
    want = [one.margin for one in judged(learner, given)]
    assert margins(learner, given).tolist() == pytest.approx(want, abs=1e-4)


def write(root: Path, wrong: bool) -> None:
    drawn = draw_characters(3, 7, generator=torch.Generator().manual_seed(3))
    for label, images in enumerate(drawn):
        for number, image in enumerate(images):
            moved = wrong and number == label == 0
            folder = root / ("query" if number > 4 else "support") / f"class{1 if moved else label}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(255 - image[0].numpy()).save(folder / f"{label}{number}.png")


def test_predict_names_a_picture_in_the_wrong_folder_and_those_to_label_next(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "clean", wrong=False)
    write(tmp_path / "wrong", wrong=True)
    for root in ("clean", "wrong"):
        assert main(["predict", "--support", f"{root}/support", "--query", f"{root}/query", "--most_uncertain", "2"]) == 0
        shown = capsys.readouterr()
        said = "quickstudy: warning: wrong/support/class1/00.png: the others of 'class1' contradict it, and speak for 'class0'."
        assert shown.err.count("warning") == (root == "wrong")
        assert root == "clean" or said in shown.err
        chosen = [line.removeprefix("label next: ") for line in shown.out.splitlines() if line.startswith("label next")]
        assert len(chosen) == 2
    assert main(["predict", "--support", "clean/support", "--query", "clean/query", "--json", "--most_uncertain", "1"]) == 0
    shown = capsys.readouterr()
    rows = [json.loads(line) for line in shown.out.splitlines()]
    assert shown.err.count("label next") == 1
    assert len(rows) == 6
