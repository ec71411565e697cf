"""Tables: a learner of a fixed number of features on tables of any number of columns and rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from quickstudy.arguments import PositiveInt
from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError, ShapeError
from quickstudy.forward.context import Context
from quickstudy.learners.learner import Learner, Loss, check_ways
from quickstudy.learners.outcome import Answered, Outcome, State
from quickstudy.learners.wrap.wrapper import Wrapper
from quickstudy.random import stateless_order, stateless_uniform

if TYPE_CHECKING:
    from quickstudy.meta.outer.outer import Gradient, Outer

ROWS = 1_000_000  # the random stream that chooses rows; the streams below it choose columns


class Tables(Wrapper):
    """F_phi on standardised columns, its answer averaged over views of the table.

        m_j, s_j^2  =  mean and variance of column j over the support                                          (1)
        z_ij        =  clip( (x_ij - m_j) / s_j,  -c, c ),      and 0 where s_j = 0                             (2)
        u_e         =  sqrt( F / F_e ) * (the columns of z in view e, F_e of them, then zeros up to F)          (3)
        p(y = k | x)  =  1/members sum_e  softmax_{(k + e) mod ways}( F_phi(u_e, (y + e) mod ways)(x) )         (4)

    A column's mean and scale come from the support alone, so a query is answered the same alone and among others. A column that
    is constant there is left out. Each view has the columns in another random order and shifts the class numbers by one more,
    which averages over a learner's dependence on either. If there are more than F columns, they are dealt out at random among
    the views, F to each, until all are used, then again: subsets rather than random projections, which would mix a relevant
    column into all. Rows beyond `max_support` are drawn at random for each view.

    Meta-training takes the first view alone: its tables come in every order anyway, and one view costs one pass.

    Args:
        learner: F_phi, for x (examples, F).
        features: F.
        members: number of views at test time.
        max_support: rows of the support in a view; None: all. With a number, the order of the support
            decides which rows are drawn (`order_invariant` is False).

    Other Args:
        clip: c.
        outer: the outer method that `meta_train` takes by default.
        name: its name in tables of results.

    Raises:
        ArgumentError: features, members or max_support below 1, a clip that is not above 0.
        ShapeError: x is not (examples, columns).

    Source: Hollmann et al., "TabPFN", ICLR 2023, section 3 and appendix: padding, ensembles over orders of columns and classes.
    Differs from it: the root in (3), which keeps the variance of what a linear map of u gives (there F / F_e); the subsets.

    Examples:
        >>> from quickstudy.learners.wrap import Tables
        >>> learner = Tables(qs.InContext(features=8, max_ways=5, width=16, depth=2), features=8, members=4)
        >>> x, y = torch.randn(12, 3), torch.arange(12) % 2  # 3 columns, fewer than the 8 that the learner takes
        >>> learner.adapt(qs.Examples(x, y)).predict_proba(x).shape
        torch.Size([12, 2])
    """

    label_equivariant = False

    needs_support = True  # the columns' means and deviations are its own

    def __init__(
        self,
        learner: Learner,
        *,
        features: PositiveInt,
        members: PositiveInt = 8,
        max_support: PositiveInt | None = None,
        clip: float = 3.0,
        outer: Gradient | None = None,
        name: str = "Tables",
    ):
        super().__init__(learner)
        if not clip > 0:
            raise ArgumentError("clip", expected="a number above 0", got=str(clip), do="3 is the default.")
        self.features, self.members, self.max_support = features, members, max_support
        self.clip, self.own_outer, self.name = clip, outer, name

    def state(self, support: Examples, context: Context, steps: int | None = None) -> State:
        """m and s (columns,), each view's columns and factors (members, min(F, columns)), and the learner's states."""
        ways, values = check_ways("support.y", support), self._columns(support, self.members)
        values["classes"], values["members"] = torch.arange(ways, device=support.y.device), []
        for member in range(self.members):
            rows = self._rows(support, member)
            u = self._view(values, self._z(values, rows.x), member)
            values["members"].append(self.learner.state(support.like(u, (rows.y + member) % ways), context, steps))
        return State(values)

    def answer(self, state: State, x: Any, context: Context) -> Answered:
        """Log probabilities (examples, ways)."""
        values = state.values
        z, answers = self._z(values, x), []
        for member, inner in enumerate(values["members"]):
            logits = self.learner.answer(inner, self._view(values, z, member), context).prediction
            logits = logits[:, : len(values["classes"])]  # a learner may have more outputs than there are classes
            answers.append(logits.log_softmax(-1).roll(-member, -1))
        return Answered(torch.stack(answers).logsumexp(0) - math.log(len(answers)), ({}, {}))  # (4)

    def outcome(self, episode: Episode, context: Context, criterion: Loss | None = None) -> Outcome:
        """The learner's outcome in the first view."""
        values = self._columns(episode.support, 1)
        parts = [
            part.like(self._view(values, self._z(values, part.x), 0), part.y)
            for part in (self._rows(episode.support, 0), episode.query)
        ]
        return self.learner.outcome(Episode(*parts), context, criterion)

    @property
    def order_invariant(self) -> bool:  # type: ignore[override]
        """Which rows a view has depends on their order."""
        return self.learner.order_invariant and self.max_support is None

    @property
    def outer(self) -> Outer | None:
        """Its own, or that of the learner."""
        return self.own_outer or super().outer

    def _columns(self, support: Examples, members: int) -> dict[str, Any]:
        """(1), and which columns each view has: those that vary, in a random order, then the others with factor 0."""
        x = support.x
        if not isinstance(x, Tensor) or x.ndim != 2:
            got = str(tuple(x.shape)) if isinstance(x, Tensor) else type(x).__name__
            raise ShapeError("x", expected="a table, (examples, columns)", got=got, do="Flatten it: x.flatten(1).")
        columns, taken = x.shape[1], min(self.features, x.shape[1])
        variance, mean = torch.var_mean(x, 0, correction=0)
        varies = variance > 1e-12 * (mean * mean).clamp(min=1e-12)  # more than rounding errors of a constant
        count, sweep = varies.sum(), math.ceil(columns / self.features)  # views needed to deal out all columns
        chosen, factors = [], []
        for member in range(members):
            random = stateless_uniform(0, (columns,), stream=member // sweep, device=x.device)
            order = (random + (~varies).to(random.dtype)).argsort()
            place = member % sweep * self.features + torch.arange(taken, device=x.device)
            used = torch.arange(taken, device=x.device) < count
            chosen.append(order[place % count.clamp(min=1)])
            factors.append(used.to(x.dtype) * (self.features / used.sum().clamp(min=1)).sqrt().to(x.dtype))
        scale = torch.where(varies, variance, torch.ones_like(variance)).sqrt()
        return {"mean": mean, "scale": scale, "columns": torch.stack(chosen), "factors": torch.stack(factors)}

    def _rows(self, support: Examples, member: int) -> Examples:
        """The support, or `max_support` of its rows."""
        if self.max_support is None or len(support) <= self.max_support:
            return support
        rows = stateless_order(0, len(support), stream=ROWS + member, device=support.y.device)[: self.max_support]
        return support.map(lambda leaf: leaf[rows])

    def _z(self, state: dict[str, Any], x: Tensor) -> Tensor:
        return ((x - state["mean"]) / state["scale"]).clamp(-self.clip, self.clip)  # (2); factor 0 leaves a constant out

    def _view(self, state: dict[str, Any], z: Tensor, member: int) -> Tensor:
        u = z[:, state["columns"][member]] * state["factors"][member]  # (3)
        return torch.nn.functional.pad(u, (0, self.features - u.shape[1]))
