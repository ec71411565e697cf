"""The registry: classes by qualified name. A learner is registered by being defined; no file can have one imported."""

from __future__ import annotations

LEARNERS: dict[str, type] = {}


def qualified_name(cls: type) -> str:
    """The module and the name of a class: "quickstudy.learners.solve.ridge.Ridge", "__main__.Mine"."""
    return f"{cls.__module__}.{cls.__qualname__}"


def register(cls: type) -> None:
    """Enter a learner's class; one that is defined again, as in a notebook, takes the place of the old one."""
    LEARNERS[qualified_name(cls)] = cls


def is_own(cls: type) -> bool:
    """Whether the class is the package's, and not a user's."""
    return cls.__module__.partition(".")[0] == "quickstudy"
