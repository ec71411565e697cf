"""FewShotClassifier: labels and inputs of any kind, classes that come and go, and what it does not know."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from torch import nn

import quickstudy as qs
from quickstudy.errors import ArgumentError, CheckpointError, LabelError, ShapeError, UnsupportedError
from quickstudy.evaluation.calibration import calibrate
from quickstudy.learners.compare.centroid import CentredCentroid
from quickstudy.learners.transfer.nearest_centroid import NearestCentroid
from quickstudy.sklearn import FewShotClassifier, FewShotRegressor

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

NAMES = ["wren", "owl", "kestrel"]
CENTRES = 6.0 * np.eye(4)


def birds(names=NAMES, shots=4, seed=0, place=None):
    """Examples around a centre of each class: x (examples, 4), names."""
    generator = np.random.default_rng(seed)
    places = range(len(names)) if place is None else [place]
    x = np.concatenate([CENTRES[k] + generator.normal(size=(shots, 4)) for k in places])
    return x, np.repeat(names, shots)


# ---- inputs and labels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [NAMES, [3, -1, 7], [2.0, 1.0, 4.0], np.array(NAMES, dtype=object)],
    ids=["text", "ints", "floats", "objects"],
)
def test_labels_of_any_kind(labels):
    (x, _), (asked, _) = birds(), birds(seed=1)
    y = np.repeat(labels, 4)
    fitted = FewShotClassifier().fit(x, y)
    assert np.array_equal(fitted.classes_, np.unique(labels))
    assert np.array_equal(fitted.predict(asked), y)
    probabilities = fitted.predict_proba(asked)
    assert np.array_equal(fitted.classes_[probabilities.argmax(1)], y)
    np.testing.assert_allclose(probabilities.sum(1), 1)


def test_arrays_tensors_and_lists_are_the_same_to_it():
    x, y = birds()
    want = FewShotClassifier().fit(x, y).predict_proba(x)
    numbers = torch.tensor([NAMES.index(name) for name in y])
    order = np.argsort(NAMES)
    for given in (x.tolist(), torch.from_numpy(x), list(torch.from_numpy(x))):
        assert np.array_equal(FewShotClassifier().fit(given, y.tolist()).predict_proba(given), want)
        by_number = FewShotClassifier().fit(given, numbers).predict_proba(given)
        np.testing.assert_allclose(by_number[:, order], want)
    single = FewShotClassifier().fit(torch.from_numpy(x).bfloat16(), y).predict_proba(torch.from_numpy(x).bfloat16())
    np.testing.assert_allclose(single, want, atol=0.05)


def test_images_keep_their_shape_and_uint8_is_read_as_tasks_read_it():
    images = torch.randint(0, 255, (6, 1, 5, 5), dtype=torch.uint8)
    y = ["a", "b", "c"] * 2
    learner = qs.Prototypical(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()))
    want = FewShotClassifier(learner).fit(images / 255, y).predict_proba(images / 255)
    np.testing.assert_allclose(FewShotClassifier(learner).fit(images, y).predict_proba(images.numpy()), want)
    assert FewShotClassifier(learner).fit(images, y).feature_shape_ == (1, 5, 5)


def test_a_tensor_of_integers_is_looked_up():
    tokens, y = torch.randint(0, 9, (6, 3)), ["a", "b", "c"] * 2
    learner = qs.Prototypical(nn.Sequential(nn.Embedding(9, 4), nn.Flatten()))
    fitted = FewShotClassifier(learner, head="own").fit(tokens, y)
    assert list(fitted.predict(tokens[:3])) == [y[i] for i in range(3)] or len(fitted.predict(tokens)) == 6
    np.testing.assert_allclose(
        fitted.predict_proba(tokens),
        learner.adapt(qs.Examples(tokens, torch.tensor([0, 1, 2] * 2))).predict_proba(tokens).numpy(),
        rtol=1e-5,
    )


def test_what_was_fitted_is_not_what_is_written_to_later():
    x, y = birds()
    fitted = FewShotClassifier().fit(x, y)
    before = fitted.predict_proba(x.copy())
    kept = x.copy()
    x[:] = 0
    fitted.add_class("heron", kept[:2] + 9).remove_class("heron")
    assert np.array_equal(fitted.predict_proba(kept), before)


def test_a_network_with_more_outputs_than_classes_and_a_learner_in_float32():
    x, y = birds()
    learner = qs.FromScratch(qs.models.mlp(4, 5, hidden=(8,)), inner_steps=100, inner_lr=0.05)
    fitted = FewShotClassifier(learner).fit(x, y)
    assert fitted.predict_proba(x).shape == (12, 3)
    assert fitted.score(*birds(seed=1)) > 0.9


def test_many_queries_are_answered_in_batches_except_by_a_transductive_learner():
    x, y = birds()
    asked, _ = birds(shots=700, seed=1)
    fitted = FewShotClassifier().fit(x, y)
    np.testing.assert_allclose(fitted.predict_proba(asked)[:5], fitted.predict_proba(asked[:5]), rtol=1e-10)
    learner = qs.Prototypical(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), normalisation="transductive")
    whole = FewShotClassifier(learner).fit(x, y)
    seen = whole.predictor_.predict_proba(torch.from_numpy(asked).float())
    np.testing.assert_allclose(whole.predict_proba(asked), seen.numpy(), rtol=1e-4, atol=1e-6)


def test_other_features_than_those_of_fit():
    x, y = birds()
    fitted = FewShotClassifier().fit(x, y)
    text = (
        r"`X`: expected examples of shape \(4,\), as fit\(X, y\) had them, got examples of shape \(3,\) \(X has 3 features, "
        r"but FewShotClassifier is expecting 4 features as input\)\. Bring X through the same preprocessing"
    )
    for call in (fitted.predict, fitted.predict_proba, lambda x: fitted.add_class("heron", x)):
        with pytest.raises(ShapeError, match=text):
            call(x[:, :3])
    image = FewShotClassifier(NearestCentroid()).fit(np.zeros((2, 1, 3, 3)), ["a", "b"])
    with pytest.raises(ShapeError, match=r"`X`: expected examples of shape \(1, 3, 3\), .* got examples of shape \(1, 4, 3\)\."):
        image.predict(np.zeros((1, 1, 4, 3)))


@pytest.mark.wrong_types
def test_a_network_is_no_learner():
    with pytest.raises(
        UnsupportedError, match=r"`learner`: expected a quickstudy learner, or None, got a Linear\. Put a network"
    ):
        FewShotClassifier(nn.Linear(4, 3)).fit(*birds())


# ---- classes that come and go ------------------------------------------------------------------------------------------

LEARNERS = {
    "default": lambda: None,
    "Prototypical": lambda: qs.Prototypical(nn.Linear(4, 3)),
    "MAML": lambda: qs.MAML(qs.models.mlp(4, 5, hidden=(8,)), inner_lr=0.1, inner_steps=3),
    "CentredCentroid": CentredCentroid,
}


@pytest.mark.parametrize("name", LEARNERS)
def test_adding_and_removing_a_class_equals_fitting_anew(name):
    torch.manual_seed(0)
    learner, asked = LEARNERS[name](), birds(seed=2)[0]
    (x, y), (more, _) = birds(), birds(["auk"], place=3)
    fitted = FewShotClassifier(learner).fit(x, y).add_class("auk", more)
    anew = FewShotClassifier(learner).fit(np.concatenate([x, more]), [*y, *["auk"] * 4])
    assert list(fitted.classes_) == ["auk", "kestrel", "owl", "wren"]
    assert np.array_equal(fitted.predict_proba(asked), anew.predict_proba(asked))
    fitted.remove_class("owl")
    kept = y != "owl"
    without = FewShotClassifier(learner).fit(np.concatenate([x[kept], more]), [*y[kept], *["auk"] * 4])
    assert np.array_equal(fitted.predict_proba(asked), without.predict_proba(asked))
    assert not np.allclose(anew.predict_proba(asked)[:, :3], without.predict_proba(asked))  # control: a class makes a difference


def test_a_class_with_a_longer_name_and_one_example():
    x, y = birds()
    fitted = FewShotClassifier().fit(x, y).add_class("great crested grebe", CENTRES[3:])
    assert list(fitted.predict(CENTRES[[3, 0]])) == ["great crested grebe", "wren"]
    numbered = FewShotClassifier().fit(x, np.repeat([3, 5, 9], 4)).add_class(7, CENTRES[3:])
    assert list(numbered.classes_) == [3, 5, 7, 9]
    assert numbered.predict(CENTRES[3:]).tolist() == [7]


def test_classes_that_cannot_come_or_go():
    x, y = birds()
    fitted = FewShotClassifier().fit(x, y)
    before = fitted.predict_proba(x)
    with pytest.raises(
        ArgumentError, match=r"`add_class\(name\)`: expected a class that is not there yet, got 'owl', one of \['k"
    ):
        fitted.add_class("owl", x)
    with pytest.raises(
        LabelError, match=r"`add_class\(name\)`: expected a label of the kind of \['kestrel', .* got 4\. Give all"
    ):
        fitted.add_class(4, x)
    with pytest.raises(ArgumentError, match=r"`remove_class\(name\)`: expected one of \['kestrel', .* got 'heron'"):
        fitted.remove_class("heron")
    with pytest.raises(ValueError, match="0 sample"):
        fitted.add_class("heron", x[:0])
    with pytest.raises(ValueError, match="NaN"):
        fitted.add_class("heron", x * np.nan)
    assert list(fitted.classes_) == sorted(NAMES)
    assert np.array_equal(fitted.predict_proba(x), before)
    with pytest.raises(ArgumentError, match=r"and another class that is left, got 'owl'"):
        fitted.remove_class("wren").remove_class("kestrel").remove_class("owl")
    few = FewShotClassifier(qs.MAML(qs.models.mlp(4, 3, hidden=(5,)), inner_lr=0.1)).fit(x, y)
    with pytest.raises(ShapeError, match=r"`prediction`: .* got .14, 3.. Build the network with 4 outputs"):
        few.add_class("heron", x[:2])
    assert (list(few.classes_), len(few.support_y_), few.predict(x).shape) == (sorted(NAMES), 12, (12,))
    with pytest.raises(NotFittedError):
        FewShotClassifier().add_class("owl", x)


# ---- what it does not know ---------------------------------------------------------------------------------------------


def calibrated(**more):
    tasks = qs.tasks.GaussianClasses(ways=3, dim=4, shots=4, queries=5, separation=6.0)
    return FewShotClassifier(NearestCentroid(), calibration=calibrate(NearestCentroid(), tasks.validation, 60), **more)


def test_rejection_by_calibration():
    x, y = birds()
    fitted = calibrated().fit(x, y)
    asked, strangers = birds(shots=100, seed=1)[0], birds(["auk"], shots=100, place=3, seed=2)[0]
    assert None not in fitted.predict(asked).tolist()
    known, unknown = fitted.predict(asked, reject=True), fitted.predict(strangers, reject=True)
    assert np.mean([one is None for one in known]) < 0.15  # the calibration promises 0.05
    assert np.mean([one is None for one in unknown]) > 0.8
    logits = NearestCentroid().adapt(fitted_support(x, y))(torch.from_numpy(asked).float()).double()
    want = (logits / fitted.calibration.temperature).softmax(1)
    np.testing.assert_allclose(fitted.predict_proba(asked), want.numpy(), atol=1e-4)
    raised = fitted.predict(asked, reject=fitted.calibration.threshold + 1e6)
    assert all(one is None for one in raised)


def fitted_support(x, y):
    return qs.Examples(torch.from_numpy(x).float(), torch.from_numpy(np.unique(y, return_inverse=True)[1]))


def test_rejection_by_the_least_probability():
    x, y = birds()
    fitted = FewShotClassifier(unknown="unknown").fit(x, y)
    between = np.concatenate([CENTRES[:1], CENTRES[:2].mean(0, keepdims=True)])
    sure = fitted.predict_proba(between).max(1)
    assert list(fitted.predict(between, reject=float(sure.mean()))) == ["wren", "unknown"]
    assert fitted.predict(between, reject=0.0).tolist() == fitted.predict(between).tolist()
    numbers = FewShotClassifier(unknown=-1).fit(x, np.repeat([3, 5, 9], 4)).predict(between, reject=float(sure.mean()))
    assert numbers.tolist() == [3, -1]
    assert numbers.dtype.kind == "i"


def test_rejection_that_cannot_be():
    x, y = birds()
    with pytest.raises(ArgumentError, match=r"`reject`: expected a number, or a calibration .* got True without a calibration"):
        FewShotClassifier().fit(x, y).predict(x, reject=True)
    with pytest.raises(ArgumentError, match=r"`unknown`: expected none of the classes .* got 'owl'\. Choose another"):
        FewShotClassifier(unknown="owl").fit(x, y).predict(x, reject=0.5)


# ---- saving and loading ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [NAMES, [3, -1, 7], np.array(NAMES, dtype=object)], ids=["text", "ints", "objects"])
@pytest.mark.parametrize("learner", ["default", "Prototypical"])
def test_save_and_load(tmp_path, labels, learner):
    (x, _), (asked, _) = birds(), birds(seed=1)
    learner = None if learner == "default" else qs.Prototypical(qs.models.mlp(4, 3, hidden=(5,)))
    fitted = FewShotClassifier(learner).fit(x, np.repeat(labels, 4))
    fitted.save(tmp_path / "saved")
    again = FewShotClassifier.load(tmp_path / "saved")
    assert np.array_equal(again.predict_proba(asked), fitted.predict_proba(asked))
    assert again.predict(asked).tolist() == fitted.predict(asked).tolist()
    assert again.classes_.dtype == fitted.classes_.dtype
    fresh = np.random.default_rng(0).normal(size=(2, 4)) + 20
    name = "zebra finch" if isinstance(labels[0], str) else 11
    assert np.array_equal(again.add_class(name, fresh).predict_proba(asked), fitted.add_class(name, fresh).predict_proba(asked))


def test_save_and_load_with_a_calibration(tmp_path):
    x, y = birds()
    fitted = calibrated(unknown="none of them").fit(x, y)
    fitted.save(tmp_path)
    again = FewShotClassifier.load(tmp_path)
    assert again.calibration == fitted.calibration
    far = CENTRES[3:]
    assert again.predict(far, reject=True).tolist() == fitted.predict(far, reject=True).tolist() == ["none of them"]


def test_load_from_a_learner_a_run_and_a_predictor(tmp_path):
    x, y = birds()
    learner = qs.Prototypical(qs.models.mlp(4, 3, hidden=(5,)))
    learner.save(tmp_path / "run" / "learner")
    found = calibrated().calibration
    found.save(tmp_path / "run")
    want = FewShotClassifier(learner, calibration=found).fit(x, y).predict_proba(x)
    from_run = FewShotClassifier.load(tmp_path / "run")
    assert from_run.calibration == found
    assert np.array_equal(from_run.fit(x, y).predict_proba(x), want)
    assert FewShotClassifier.load(tmp_path / "run" / "learner").fit(x, y).predict(x).tolist()
    predictor = learner.adapt(fitted_support(x, y))
    predictor.save(tmp_path / "predictor")
    adapted = FewShotClassifier.load(tmp_path / "predictor")
    assert adapted.classes_.tolist() == [0, 1, 2]
    assert np.array_equal(adapted.predict(x), predictor.predict(torch.from_numpy(x).float()).numpy())
    with pytest.raises(UnsupportedError, match=r"`add_class`: expected an estimator that holds its support set, got one loaded"):
        adapted.add_class(3, x)
    with pytest.raises(CheckpointError, match=r"expected a predictor of targets, as FewShotRegressor needs, got one of classes"):
        FewShotRegressor.load(tmp_path / "predictor")


def test_images_are_normalised_as_the_run_says(tmp_path):
    images, y = torch.randint(0, 255, (6, 1, 4, 4), dtype=torch.uint8), ["a", "b", "c"] * 2
    preprocessing = qs.tasks.Preprocessing(4, 1, mean=(0.4,), std=(0.25,))
    learner = qs.Prototypical(nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.Tanh()))
    learner.save(tmp_path / "run" / "learner")
    preprocessing.save(tmp_path / "run")
    fitted = FewShotClassifier.load(tmp_path / "run", embed=learner.embed).fit(images, y)
    seen = (images / 255 - 0.4) / 0.25
    want = FewShotClassifier(learner).fit(seen, y).predict_proba(seen)
    np.testing.assert_allclose(fitted.predict_proba(images), want, rtol=1e-5)
    assert not np.allclose(FewShotClassifier(learner).fit(images, y).predict_proba(images), want, rtol=1e-3)  # control
    fitted.save(tmp_path / "fitted")
    again = FewShotClassifier.load(tmp_path / "fitted", embed=learner.embed)
    assert again.preprocessing == preprocessing
    np.testing.assert_allclose(again.predict_proba(images), want, rtol=1e-5)


def test_folders_that_do_not_load(tmp_path):
    x, y = birds()
    FewShotClassifier().fit(x, y).save(tmp_path / "classifier")
    with pytest.raises(CheckpointError, match=r"expected a FewShotRegressor .* got a FewShotClassifier of format 2"):
        FewShotRegressor.load(tmp_path / "classifier")
    with pytest.raises(CheckpointError, match=r"expected a saved learner: a folder"):
        FewShotClassifier.load(tmp_path / "nothing")
    with pytest.raises(UnsupportedError, match=r"`save\(path\)`: expected class labels that are text or numbers, got .*bytes"):
        FewShotClassifier(unknown=b"?").fit(x, y).save(tmp_path / "bytes")


# ---- the extra ---------------------------------------------------------------------------------------------------------


def test_without_scikit_learn_it_says_what_to_install():
    code = "import sys; sys.modules['sklearn'] = None; import quickstudy; import quickstudy.sklearn"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "`quickstudy.sklearn`: expected scikit-learn" in done.stderr
    assert "pip install quickstudy[sklearn]" in done.stderr


def test_importing_quickstudy_does_not_import_it():
    code = "import sys, quickstudy; assert not any(name.startswith('sklearn') for name in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("estimator", [FewShotClassifier, FewShotRegressor])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float32], ids=str)
def test_an_estimator_answers_as_it_did_in_the_precision_of_its_learner(estimator, dtype, tmp_path):
    """From its own folder, from its learner's and from its predictor's."""
    X, names = birds()
    y = names if estimator is FewShotClassifier else X.sum(1)
    learner = qs.MAML(qs.models.mlp(4, 3 if estimator is FewShotClassifier else 1, hidden=(5,)), inner_lr=0.1).to(dtype)
    fitted = estimator(learner).fit(X, y)
    ask = lambda one: one.predict_proba(X) if estimator is FewShotClassifier else one.predict(X)
    want = ask(fitted)
    fitted.save(tmp_path / "estimator")
    learner.save(tmp_path / "learner")
    fitted.predictor_.save(tmp_path / "predictor")
    for again in (
        estimator.load(tmp_path / "estimator"),
        estimator.load(tmp_path / "learner").fit(X, y),
        estimator.load(tmp_path / "predictor"),
    ):
        assert {tensor.dtype for tensor in again.predictor_.learner.parameters()} == {dtype}
        assert np.array_equal(ask(again).reshape(want.shape), want)


def test_a_table_that_lies_column_by_column_is_learned_as_one_that_lies_row_by_row(tmp_path):
    """As a data frame's does; the folder keeps rows, and BLAS adds in another order column by column."""
    (X, y), columns = birds(shots=50), np.asfortranarray(birds(shots=50)[0])
    fitted = FewShotClassifier().fit(columns, y)
    assert fitted.support_x_.is_contiguous()
    fitted.save(tmp_path)
    for other in (FewShotClassifier.load(tmp_path), FewShotClassifier().fit(X, y)):
        assert np.array_equal(other.predict_proba(X), fitted.predict_proba(columns))


# ---- the head ----------------------------------------------------------------------------------------------------------


def stretched(shots=8, seed=0):
    """Three classes told apart by two features, beside a third of large spread: class means are poor."""
    generator = np.random.default_rng(seed)
    y = np.repeat([0, 1, 2], shots)
    x = generator.normal(size=(len(y), 3)) * [0.3, 0.3, 6.0]
    x[:, :2] += np.array([[0, 0], [2, 0], [0, 2]])[y]
    return x, np.array(NAMES)[y]


def means():
    return qs.Prototypical(nn.Identity())


def test_the_head_is_chosen_by_the_support():
    (x, y), (asked, wanted) = stretched(), stretched(shots=100, seed=1)
    chosen, own = FewShotClassifier(means()).fit(x, y), FewShotClassifier(means(), head="own").fit(x, y)
    assert chosen.head_ in ("ridge", "logistic")
    assert own.head_ == "own"
    assert chosen.score(asked, wanted) > own.score(asked, wanted) + 0.2
    assert chosen.head_ in str(chosen.head_choice_)
    assert {"ridge": "RidgeHead", "logistic": "LogisticHead"}[chosen.head_] in repr(chosen.predictor_)
    fixed = FewShotClassifier(means(), head=chosen.head_).fit(x, y)
    np.testing.assert_array_equal(fixed.predict_proba(asked), chosen.predict_proba(asked))


def test_a_class_with_one_example_keeps_the_own_head():
    x, y = stretched(shots=8)
    fitted = FewShotClassifier(means()).fit(x, y)
    assert fitted.add_class("heron", x[:1] + 9).head_ == "own"
    assert fitted.remove_class("heron").head_ != "own"


def test_the_chosen_head_is_saved_and_read_back(tmp_path):
    (x, y), (asked, _) = stretched(), stretched(seed=1)
    fitted = FewShotClassifier(means()).fit(x, y)
    fitted.save(tmp_path / "birds")
    again = FewShotClassifier.load(tmp_path / "birds", embed=nn.Identity())
    assert (again.head, again.head_) == ("auto", fitted.head_)
    np.testing.assert_allclose(again.predict_proba(asked), fitted.predict_proba(asked))


def test_a_calibration_of_another_head_is_never_used(tmp_path):
    tasks = qs.tasks.GaussianClasses(ways=3, dim=4, shots=5).validation
    own, ridge = (calibrate(means(), tasks, episodes=20, head=head) for head in ("own", "ridge"))
    x, y = stretched()
    assert FewShotClassifier(means(), calibration=own).fit(x, y).head_ == "own"  # the only head that it is for
    both = FewShotClassifier(means(), calibration=[own, ridge]).fit(x, y)
    assert both.head_ == "ridge"
    plain = FewShotClassifier(means(), head="ridge").fit(x, y)
    logits = np.log(plain.predict_proba(x))
    expected = torch.from_numpy(logits / ridge.temperature).softmax(1).numpy()
    np.testing.assert_allclose(both.predict_proba(x), expected, atol=1e-9)
    both.save(tmp_path / "birds")
    assert {one.head for one in FewShotClassifier.load(tmp_path / "birds", embed=nn.Identity()).calibration} == {"own", "ridge"}
    with pytest.raises(
        ArgumentError, match=r"`calibration`: expected one for the head that answers, 'ridge' .*, got for own\. Give"
    ):
        FewShotClassifier(means(), head="ridge", calibration=own).fit(x, y)
    with pytest.raises(ArgumentError, match=r"expected one for the head that answers, 'own' \(with one example of a class"):
        FewShotClassifier(means(), calibration=ridge).fit(x[[0, 8, 16]], y[[0, 8, 16]])


def test_an_unknown_head():
    x, y = stretched()
    with pytest.raises(ArgumentError, match=r"`head`: expected one of own, centroid, ridge, logistic, got 'svm'"):
        FewShotClassifier(means(), head="svm").fit(x, y)
    with pytest.raises(UnsupportedError, match=r"`head='ridge'`: .*, got Standardised"):
        FewShotClassifier(head="ridge").fit(x, y)
