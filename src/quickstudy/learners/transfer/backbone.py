"""A pre-trained network as a learner that is ready: the network stands still, a head is solved on each support set."""

from __future__ import annotations

import copy
from typing import Literal

from torch import Tensor, nn

from quickstudy.errors import ArgumentError
from quickstudy.forward.call import plain
from quickstudy.learners.compare.centroid import CentredCentroid
from quickstudy.learners.learner import Learner
from quickstudy.learners.solve.ridge import Ridge


def from_backbone(module: nn.Module, head: Literal["centroid", "ridge"] = "centroid", *, mean: Tensor | None = None) -> Learner:
    """A learner on a frozen copy of `module`: its norms use their running averages and its dropouts are off.

    Args:
        module: (examples, *feature) -> (examples, features), pre-trained.
        head: "centroid": the nearest class mean among centred features of length 1 (`CentredCentroid`), classification only;
            "ridge": ridge regression (`Ridge`) with an intercept, for labels or targets; its penalty, scale and shift can be
            meta-trained, the network cannot.
        mean: of the features over the data that the module was trained on, for "centroid"; None: the support's own mean.

    Raises:
        ArgumentError: a head that does not exist; a mean for "ridge".

    To run many learners on the same features compute them once instead: `quickstudy.tasks.from_backbone(tasks, module)`.
    """
    if head not in ("centroid", "ridge"):
        raise ArgumentError("head", expected="'centroid' or 'ridge'", got=repr(head), do="'centroid' suits few shots.")
    if head == "ridge" and mean is not None:
        raise ArgumentError("mean", expected="None for head='ridge'", got="a mean", do="Ridge has an intercept instead.")
    embed = copy.deepcopy(plain("module", module)).requires_grad_(False).eval()
    if head == "centroid":
        return CentredCentroid(embed, mean=mean, normalisation="frozen")
    return Ridge(embed, intercept=True, scale=10.0, normalisation="frozen")
