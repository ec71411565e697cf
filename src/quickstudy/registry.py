"""The registry: what there is, by name. Learners enter it by being defined, domains by an entry point; no file names an import.

learner   qualified name -> class                 "quickstudy.learners.solve.ridge.Ridge", "__main__.Mine"
domain    name -> Domain, what it adds            the folders of `quickstudy.domains`, and those of other packages:

    [project.entry-points."quickstudy.domains"]
    birds = "birds.domain:DOMAIN"
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

from quickstudy.errors import ArgumentError

GROUP = "quickstudy.domains"
LEARNERS: dict[str, type] = {}
SOURCES = {  # of the core: names of configs -> names in `quickstudy.tasks`
    "sinusoid": "Sinusoid",
    "gaussian_process": "GaussianProcess",
    "folder": "from_folder",
    "csv": "from_csv",
}


def qualified_name(cls: type) -> str:
    """The module and the name of a class: "quickstudy.learners.solve.ridge.Ridge", "__main__.Mine"."""
    return f"{cls.__module__}.{cls.__qualname__}"


def register(cls: type) -> None:
    """Enter a learner's class; one that is defined again, as in a notebook, takes the place of the old one."""
    LEARNERS[qualified_name(cls)] = cls


def is_own(cls: type) -> bool:
    """Whether the class is the package's, and not a user's."""
    return cls.__module__.partition(".")[0] == "quickstudy"


def named(kind: str, name: Any, table: Mapping[str, Any]) -> Any:
    """The entry `name` of a table, or ArgumentError about `kind` with those there are."""
    if name not in table:
        raise ArgumentError(kind, expected="one of " + ", ".join(table), got=str(name), do="Take one of these names.")
    return table[name]


@dataclass(frozen=True)
class Domain:
    """A kind of data, and what it adds.

    Args:
        name: "images".
        tasks: names that `quickstudy.tasks` has of it, each with where it lies: {"Omniglot": "package.module:Omniglot"}.
        sources: which of them the command line and configs know, and as what: {"omniglot": "Omniglot"}.
    """

    name: str
    tasks: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)


@functools.cache
def domains() -> dict[str, Domain]:
    """The domains of the package and of those that are installed beside it.

    Raises:
        ArgumentError: an entry point that is no Domain; two domains of one name, or with one name in `tasks` or `sources`.
    """
    from quickstudy import domains as own

    loaded = [importlib.import_module(f"{own.__name__}.{one.name}").DOMAIN for one in pkgutil.iter_modules(own.__path__)]
    found: dict[str, Domain] = {}
    for domain in [*loaded, *(point.load() for point in entry_points(group=GROUP))]:
        if not isinstance(domain, Domain):
            raise ArgumentError(
                f'entry-points."{GROUP}"', expected="a quickstudy.registry.Domain", got=repr(domain)[:60], do="Mend that package."
            )
        for other in found.values():
            twice = (
                {*domain.tasks} & {*other.tasks} | {*domain.sources} & {*other.sources, *SOURCES} | {domain.name} & {other.name}
            )
            if twice:
                raise ArgumentError(
                    f'entry-points."{GROUP}"',
                    expected="names of its own",
                    got=f"{sorted(twice)} in {domain.name!r} as in {other.name!r}",
                    do="Rename them, or uninstall one of the two packages.",
                )
        found[domain.name] = domain
    return found


def domain_task(name: str) -> Any:
    """What `quickstudy.tasks` has of a domain by this name; None where no domain has it."""
    for domain in domains().values():
        if name in domain.tasks:
            module, _, attribute = domain.tasks[name].partition(":")
            return getattr(importlib.import_module(module), attribute)
    return None


def sources() -> dict[str, Any]:
    """What makes task families, by the names that the command line and configs have for them."""
    from quickstudy import tasks

    names = {key: name for domain in domains().values() for key, name in domain.sources.items()}
    return {key: getattr(tasks, name) for key, name in (names | SOURCES).items()}
