"""The domains of an episode that `tasks.by_domain` draws: its examples come domain by domain, as many of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from quickstudy.episode import Examples
from quickstudy.errors import ArgumentError, ShapeError, UnsupportedError
from quickstudy.forward.call import Parameters
from quickstudy.tasks.construction.by_domain import DomainTasks

if TYPE_CHECKING:
    from quickstudy.tasks.distribution.interface import TaskDistribution


def stacked(examples: Examples, domains: int, argument: str) -> Examples:
    """The examples with a leading axis `domains`.

    Raises:
        ShapeError: their number is not a multiple of that of the domains, or 0.
    """
    if len(examples) == 0 or len(examples) % domains:
        raise ShapeError(
            argument,
            expected=f"as many examples of each of {domains} domains, one domain after another",
            got=f"{len(examples)} examples",
            do="Draw them with tasks.by_domain(tasks, by=...), with shots or queries of 1 or more.",
        )
    return pytree.tree_map(lambda leaf: leaf.unflatten(0, (domains, -1)), examples)


def of_domain(examples: Examples, domain: int | Tensor) -> Examples:
    """The examples of one domain of stacked ones; its number may be a tensor, drawn inside vmap."""
    if isinstance(domain, Tensor):
        return pytree.tree_map(lambda leaf: leaf.index_select(0, domain.reshape(1)).squeeze(0), examples)
    return pytree.tree_map(lambda leaf: leaf[domain], examples)


def parameters(module: nn.Module) -> Parameters:
    """Its parameters by name."""
    return dict(module.named_parameters())


def check_domains(tasks: TaskDistribution, domains: int, method: str) -> None:
    """Raise where the tasks are not of so many domains at once.

    Raises:
        UnsupportedError: tasks whose episodes do not have their domains one after another.
        ArgumentError: another number of domains.
    """
    if not isinstance(tasks, DomainTasks):
        raise UnsupportedError(
            "tasks",
            expected=f"tasks of every domain at once, since {method} tells domains apart",
            got=type(tasks).__name__,
            do="Give tasks.by_domain(tasks, by='the column of the domains').",
        )
    if len(tasks.domains) != domains:
        raise ArgumentError(
            f"{method}(domains=)",
            expected=f"{len(tasks.domains)}, as many as the tasks have: {', '.join(tasks.domains)}",
            got=str(domains),
            do=f"Give domains={len(tasks.domains)}.",
        )
