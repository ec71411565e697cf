"""The head on a learner's features, chosen for a support set by leaving each of its examples out once.

    own         what the learner itself does with its features
    centroid    the nearest class mean (`Prototypical`)
    ridge       ridge regression on standardised features (`RidgeHead`)
    logistic    logistic regression on standardised features (`LogisticHead`)

    loss(h)  =  min_T  - 1/n sum_i log softmax( l_i(h) / T )_{y_i},      l_i(h): the logits of x_i by h without (x_i, y_i)    (1)

The head with the smallest loss is taken; the own one where it is as good as any. T makes up for the scales of the heads: it asks
how well a head could tell how sure it is. The loss tells heads apart that make the same few errors. Between the two regressions
it is not fair, since one of them is fitted by such a loss: where one of them wins, the one that errs less often on the examples
left out is taken, ridge where they err alike. Nothing but the support is looked at. How the choice compares with each fixed head:
benchmarks/studies/head_choice.py.

With one example of a class nothing can be left out of it, and the head stays the learner's own. So it does for learners without
features of each example, such as MAML: `heads_of` says which have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from quickstudy.arguments import checked
from quickstudy.episode import Examples
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.evaluation.temperature import fit_temperature, nll
from quickstudy.learners.compare.centroid import CentredCentroid
from quickstudy.learners.compare.comparison import Comparison
from quickstudy.learners.compare.prototypical import Prototypical
from quickstudy.learners.functional import class_means
from quickstudy.learners.learner import Learner
from quickstudy.learners.predictor import Predictor
from quickstudy.learners.solve.feature_heads import LinearHead, LogisticHead, RidgeHead
from quickstudy.learners.solve.ridge import Ridge

OWN, AUTO = "own", "auto"
HEADS = (OWN, "centroid", "ridge", "logistic")
KINDS: dict[str, type[Prototypical | RidgeHead | LogisticHead]] = {
    "centroid": Prototypical,
    "ridge": RidgeHead,
    "logistic": LogisticHead,
}
AS_GOOD = 1e-6  # a difference of losses that is none


@dataclass(frozen=True)
class HeadChoice:
    """A head for one support set.

    Attributes:
        head: its name, one of `HEADS`.
        learner: the learner with this head; where it is "own", the learner itself.
        loss: (1) of each head that was compared, by name; empty where there was no choice.
        why: why the head is this one.

    Examples:
        >>> from quickstudy.evaluation.head_choice import choose_head
        >>> task = qs.tasks.GaussianClasses(ways=3, dim=4, shots=5).test.sample(1)[0]
        >>> choice = choose_head(qs.Prototypical(torch.nn.Identity()), task.support)
        >>> choice.head in ("own", "ridge", "logistic"), sorted(choice.loss)
        (True, ['logistic', 'own', 'ridge'])
    """

    head: str
    learner: Learner = field(repr=False)
    loss: dict[str, float]
    why: str

    def adapt(self, support: Examples, *, seed: int = 0) -> Predictor:
        """The learner with this head, adapted: see `Learner.adapt`."""
        return self.learner.adapt(support, seed=seed)

    def __str__(self) -> str:
        losses = ", ".join(f"{name} {value:.3f}" for name, value in self.loss.items())
        return f"{self.head} ({self.why}{f': {losses}' if losses else ''})"


@checked
def choose_head(learner: Learner, support: Examples, head: str = AUTO, among: Sequence[str] = HEADS) -> HeadChoice:
    """The head for a support set: this one, or for "auto" the one of `among` with the smallest leave-one-out loss (1).

    Args:
        learner: gives the features, and its own head.
        support: labelled examples; for targets other than classes the head is the learner's own.
        head: "auto", or one of `HEADS`.
        among: the heads that "auto" compares.

    Raises:
        ArgumentError: an unknown head.
        UnsupportedError: a head for a learner without features of each example.
    """
    if head != AUTO:
        one = with_head(learner, head)
        return HeadChoice(OWN if one is learner else head, one, {}, "as it was asked for")
    found = heads_of(learner)
    if why := _no_choice(found, support):
        return HeadChoice(OWN, learner, {}, why)
    compared = {name: one for name, one in found.items() if name in among and (name == OWN or one is not learner)}
    if len(compared) < 2:
        name, one = next(iter(compared.items()), (OWN, learner))
        return HeadChoice(name, one, {}, "the only one to choose from")
    found_out = left_out_scores(compared, support)
    name = _best(found_out)
    loss = {name: one.loss for name, one in found_out.items()}
    return HeadChoice(name, compared[name], loss, "by the loss on each example of the support, left out once")


def heads_of(learner: Learner) -> dict[str, Learner]:
    """The learners with each head on the features of `learner`, by name; only "own" where it has no features of each example.

    A head that the learner has itself is the learner.
    """
    if not isinstance(learner, Comparison | CentredCentroid | Ridge):
        return {OWN: learner}
    found: dict[str, Learner] = {OWN: learner}
    for name, kind in KINDS.items():
        found[name] = learner if type(learner) is kind else kind(learner.embed, normalisation=learner.normalisation)
    return found


class LeftOut(NamedTuple):
    """The loss (1) of a head on the examples left out, and how many of them it got wrong."""

    loss: float
    errors: int


def left_out_scores(heads: dict[str, Learner], support: Examples) -> dict[str, LeftOut]:
    """How each head does on the examples of the support, each left out once."""
    one = next(iter(heads.values()))
    z = features(one, support)
    y = support.y.cpu()
    found = {}
    for name, learner in heads.items():
        logits = left_out(learner, z, y, support.ways or 0)
        found[name] = LeftOut(nll(logits, y, fit_temperature(logits, y)), int((logits.argmax(1) != y).sum()))
    return found


def _best(found: dict[str, LeftOut]) -> str:
    """The head with the smallest loss, of which the own one is the first; of two regressions the one with fewer errors."""
    least = min(one.loss for one in found.values())
    best = next(name for name, one in found.items() if one.loss <= least + AS_GOOD)
    regressions = [name for name in ("ridge", "logistic") if name in found]
    return min(regressions, key=lambda name: found[name].errors) if best in regressions else best


def features(learner: Learner, support: Examples) -> Tensor:
    """f(x) of each example, (examples, features), as the learner sees them, float64 on the CPU."""
    seen = _Features(learner.embed, normalisation=learner.normalisation).adapt(support)  # type: ignore[arg-type]
    return seen.state.values["z"].to("cpu", torch.float64)


def left_out(learner: Learner, z: Tensor, y: Tensor, ways: int) -> Tensor:
    """Logits of each example, (examples, ways), by the learner's head on all others.

    In closed form for centroids and the heads on standardised features, by learning anew without each example for the others.
    """
    with torch.no_grad():
        if type(learner) is Prototypical:
            return _centroids_left_out(z, y, ways)
        if isinstance(learner, LinearHead):
            return learner.left_out(z, y, ways)
        return _learned_anew(learner, z, y, ways)


def _centroids_left_out(z: Tensor, y: Tensor, ways: int) -> Tensor:
    """Minus the squared distance to the means; that of an example's own class is (n c - z) / (n - 1) without it."""
    means, count = class_means(z, y, ways), torch.bincount(y, minlength=ways).to(z)[y][:, None]
    logits = -(z[:, None] - means).square().sum(2)
    rest = (count * means[y] - z) / (count - 1)
    logits[torch.arange(len(z)), y] = -(z - rest).square().sum(1)
    return logits


def _learned_anew(learner: Learner, z: Tensor, y: Tensor, ways: int) -> Tensor:
    """The learner on the features themselves, without each example in turn, in its own dtype and on its device."""
    head = learner.copied()
    head.embed = nn.Identity()
    own = next((one for one in learner.parameters() if one.is_floating_point()), z)
    z, y, rows = z.to(own), y.to(own.device), torch.arange(len(z), device=own.device)
    found = [head.predict(head.learn(Examples(z[rows != i], y[rows != i], ways)), z[i : i + 1]) for i in range(len(z))]
    return torch.cat(found).to("cpu", torch.float64)


class _Features(Comparison):
    """A learner that learns the features of its support."""

    def read(self, z: Tensor, y: Tensor, ways: int) -> dict[str, Tensor]:
        return {"z": z}

    def compare(self, values: dict[str, Tensor], z: Tensor) -> Tensor:
        return z


def _no_choice(found: dict[str, Learner], support: Examples) -> str | None:
    """Why the head is the learner's own, whatever the support says; None where there is a choice."""
    if len(found) == 1:
        return "it has no features of each example to put another head on"
    if support.ways is None:
        return "other heads are for classes"
    if len(support) == 0 or int(torch.bincount(support.y.cpu(), minlength=support.ways).min()) < 2:
        return "with one example of a class none can be left out"
    return None


def with_head(learner: Learner, head: str) -> Learner:
    """The learner with this head on its features.

    Raises:
        ArgumentError: an unknown head.
        UnsupportedError: a head for a learner without features of each example.
    """
    if head not in HEADS:
        raise ArgumentError("head", expected="one of " + ", ".join(HEADS), got=repr(head), do="'own' is the learner's.")
    found = heads_of(learner)
    if head not in found:
        raise UnsupportedError(
            f"head={head!r}",
            expected="a learner with features of each example, such as Prototypical or Ridge",
            got=type(learner).__name__,
            do="Leave the head to the learner: head='own'.",
        )
    return found[head]
