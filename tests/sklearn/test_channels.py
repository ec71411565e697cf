"""Images whose channels are their last axis, as NumPy's users have them, answer as those whose channels are the first."""

import numpy as np
import pytest
import torch

import quickstudy as qs
from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.errors import ShapeError
from quickstudy.sklearn import FewShotClassifier

Y = ["a", "b"] * 3


def images(channels):
    return np.random.default_rng(0).integers(0, 256, (6, channels, 16, 16), dtype=np.uint8)


def classifier(channels, preprocessing=None):
    torch.manual_seed(0)
    return FewShotClassifier(
        qs.Prototypical(qs.models.conv4(channels=8, in_channels=channels, size=16)), preprocessing=preprocessing
    )


def reading(channels):
    return Preprocessing(16, channels, mean=(0.4,) * channels, std=(0.3,) * channels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("read", [False, True])
def test_channels_may_be_last(channels, read):
    x = images(channels)
    last = np.moveaxis(x, 1, 3)
    make = lambda: classifier(channels, reading(channels) if read else None)
    want = make().fit(x, Y).predict_proba(x)
    fitted = make().fit(last, Y)
    for form in (last, list(last), torch.from_numpy(last.copy()), x):
        np.testing.assert_array_equal(fitted.predict_proba(form), want)
    assert fitted.feature_shape_ == (channels, 16, 16)


def test_a_saved_classifier_takes_them_too(tmp_path):
    last = np.moveaxis(images(3), 1, 3)
    fitted = classifier(3).fit(last, Y)
    fitted.save(tmp_path / "saved")
    np.testing.assert_array_equal(FewShotClassifier.load(tmp_path / "saved").predict(last), fitted.predict(last))


def test_a_class_is_added_from_them():
    last = np.moveaxis(images(3), 1, 3)
    assert classifier(3).fit(last, Y).add_class("c", last[:2] // 2).classes_.tolist() == ["a", "b", "c"]


def test_what_may_be_either_is_refused():
    with pytest.raises(ShapeError, match=r"`X`: expected images with 3 channels .* got images of shape \(3, 16, 3\), which may"):
        classifier(3).fit(np.zeros((6, 3, 16, 3)), Y)


def test_numbers_that_are_no_images_stay_as_they_are():
    x = np.random.default_rng(0).normal(size=(6, 4, 2, 3))
    fitted = FewShotClassifier(qs.Prototypical(qs.models.mlp(24, 4))).fit(x, Y)
    assert fitted.feature_shape_ == (4, 2, 3)
