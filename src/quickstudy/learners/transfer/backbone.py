"""A pre-trained network as a learner: the network is frozen, and each support set gets a head in closed form."""

from __future__ import annotations

import copy
from typing import Literal

from torch import Tensor, nn

from quickstudy.arguments import checked
from quickstudy.errors import ArgumentError
from quickstudy.forward.call import plain
from quickstudy.learners.compare.centroid import CentredCentroid
from quickstudy.learners.learner import Learner
from quickstudy.learners.solve.ridge import Ridge


@checked
def from_backbone(module: nn.Module, head: Literal["centroid", "ridge"] = "centroid", *, mean: Tensor | None = None) -> Learner:
    """A learner on a frozen copy of `module`: its norms use their running averages and its dropouts are off.

    Args:
        module: (examples, *feature) -> (examples, features), pre-trained.
        head: "centroid": the nearest class mean among centred features of length 1 (`CentredCentroid`), classification only;
            "ridge": ridge regression (`Ridge`) with an intercept, for labels or targets; its penalty, scale and shift can be
            meta-trained, the network cannot.
        mean: mean of the features over the data that `module` was trained on, for "centroid"; None: the support's own mean.

    Raises:
        ArgumentError: an unknown head; a mean for "ridge".

    To run many learners on the same features, compute the features once: `quickstudy.tasks.from_backbone(tasks, module)`.

    Examples:
        >>> backbone = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU())
        >>> task = qs.tasks.GaussianClasses(ways=3, dim=4, queries=10).test.sample(1)[0]
        >>> qs.from_backbone(backbone, head="ridge").adapt(task.support)(task.query.x).shape
        torch.Size([30, 3])
    """
    if head not in ("centroid", "ridge"):
        raise ArgumentError("head", expected="'centroid' or 'ridge'", got=repr(head), do="'centroid' suits few shots.")
    if head == "ridge" and mean is not None:
        raise ArgumentError("mean", expected="None for head='ridge'", got="a mean", do="Ridge has an intercept instead.")
    embed = copy.deepcopy(plain("module", module)).requires_grad_(False).eval()
    if head == "centroid":
        return CentredCentroid(embed, mean=mean, normalisation="frozen")
    return Ridge(embed, intercept=True, scale=10.0, normalisation="frozen")
