"""Packages that only this part needs, imported on first use."""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from quickstudy.errors import MissingPackageError
from quickstudy.process_wide import ProcessWide

INSTALL = {"sklearn": "scikit-learn", "optuna": "optuna", "pymfe": "pymfe"}


def package(module: str, argument: str, do: str = "") -> Any:
    """The module of this name, such as "sklearn.pipeline".

    Raises:
        MissingPackageError: its package is not installed; `argument` is what the user asked for.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        root = module.partition(".")[0]
        if (error.name or "").partition(".")[0] != root:
            raise
        raise MissingPackageError(
            argument, expected=f"the package {INSTALL[root]}", got="none installed", do=f"pip install {INSTALL[root]}{do}."
        ) from error


def one_thread() -> Any:
    """A context in which BLAS and OpenMP use one thread: on tables as small as these, more are slower."""
    return _threads().limit(limits=1)


@functools.cache
def _threads() -> Any:
    package("sklearn", "select")
    return importlib.import_module("threadpoolctl").ThreadpoolController()  # scikit-learn requires it


@contextmanager
def _without_warnings_of_sklearn() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"sklearn\.")
        yield


# Of collinear columns or of steps that end before convergence: the score shows it.
without_warnings_of_sklearn = ProcessWide(_without_warnings_of_sklearn)
