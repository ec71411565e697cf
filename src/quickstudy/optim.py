"""A meta-trained update rule as a torch optimizer.

opt = qs.optim.Learned.load("runs/rule", network.named_parameters())
loss.backward(); opt.step()
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from quickstudy.arguments import checked
from quickstudy.errors import ArgumentError, CheckpointError
from quickstudy.learners.bilevel.parts import UpdateRule


@checked
class Learned(Optimizer):
    """theta, s  <-  theta + lr (theta' - theta), s',     (theta', s') = rule(theta, g, s)

    Takes the steps that a `LearnedTraining` takes with its student (there lr = 1), for any module. Parameter groups, state dicts,
    schedulers and closures work as in any torch optimizer. The rule's own weights are frozen, and not part of the state dict.

    Args:
        params: parameters, named parameters, or groups of them, as every optimizer takes.
        rule: `LSTMRule()`, `MLPRule()`, `LearnedMomentum()`, meta-trained.
        lr: a factor on every step, for schedulers.

    Raises:
        ArgumentError: `rule` is not an update rule; `lr` is negative.

    Examples:
        >>> from quickstudy.learners.bilevel import LearnedMomentum
        >>> network = torch.nn.Linear(4, 1)
        >>> opt = qs.optim.Learned(network.parameters(), LearnedMomentum(lr=0.1, momentum=0.9))  # or Learned.load(folder, ...)
        >>> before = network.bias.item()
        >>> network(torch.randn(8, 4)).sum().backward()
        >>> opt.step()
        >>> round(network.bias.item() - before, 3)  # its gradient is 8
        -0.8
    """

    def __init__(self, params: Any, rule: UpdateRule, *, lr: float = 1.0):
        if not isinstance(rule, UpdateRule):
            raise ArgumentError(
                "rule",
                expected="a learned update rule, such as LSTMRule()",
                got=type(rule).__name__,
                do="Learned.load reads one.",
            )
        if not lr >= 0:
            raise ArgumentError("lr", expected="0 or more", got=str(lr), do="1 takes the rule's own steps.")
        self._rule, self._copies = copy.deepcopy(rule).requires_grad_(False), {}  # type: ignore[var-annotated]
        super().__init__(params, {"lr": lr})

    @classmethod
    def load(cls, path: str | Path, params: Iterable[Any], *, lr: float = 1.0) -> Learned:
        """The optimizer with the rule of a saved learner, or of a run's folder; the student it was trained on is not needed.

        Raises:
            CheckpointError: no such folder, or a learner without a learned rule.
        """
        return cls(params, load_rule(path), lr=lr)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; return what the closure returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        index = 0
        for group in self.param_groups:
            for name, p in zip(group.get("param_names", ()) or map(str, range(index, 10**9)), group["params"], strict=False):
                index += 1
                if p.grad is not None:
                    self._move(name, p, p.grad, group["lr"])
        return loss

    def _move(self, name: str, p: Tensor, g: Tensor, lr: float) -> None:
        rule = self._rule_for(p)
        # The rule takes its state as a tree {slot: tensor or {name: tensor}}; torch keeps it flat, by slot.
        first = rule.init({name: p})
        kept = self.state[p] or {slot: _bare(value) for slot, value in first.items()}
        state = {slot: {name: kept[slot]} if isinstance(value, dict) else kept[slot] for slot, value in first.items()}
        after, state = rule({name: p}, {name: g.to_dense() if g.is_sparse else g}, state)
        self.state[p] = {slot: _bare(value) for slot, value in state.items()}
        p.lerp_(after[name], lr) if lr != 1 else p.copy_(after[name])

    def _rule_for(self, p: Tensor) -> UpdateRule:
        """The rule in the dtype and on the device of p."""
        key = p.dtype, p.device
        if key not in self._copies:
            self._copies[key] = copy.deepcopy(self._rule).to(dtype=p.dtype, device=p.device)
        return self._copies[key]


def load_rule(path: str | Path) -> UpdateRule:
    """The update rule of a saved `LearnedTraining`, without its student.

    Raises:
        CheckpointError: no such folder, or a learner without a learned rule.
    """
    from quickstudy.artifacts.store import read_argument

    name, rule, tensors = read_argument(path, "rule")
    if not isinstance(rule, UpdateRule):
        raise CheckpointError(
            str(path),
            expected="a saved learner with a learned update rule, LearnedTraining(rule=LSTMRule())",
            got=f"{name} with {type(rule).__name__ if rule is not None else 'no rule'}",
            do="Meta-train one, or use an optimizer of torch.",
        )
    try:
        rule.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(
            str(path),
            expected=f"weights that fit {type(rule).__name__}",
            got=" ".join(str(error).split())[:300],
            do="Save the learner again.",
        ) from error
    return rule


def _bare(value: Any) -> Any:
    """The tensor of the single parameter in a slot of the rule's state."""
    return next(iter(value.values())) if isinstance(value, dict) else value
