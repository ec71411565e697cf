"""The types of a package's functions and dataclasses, checked by beartype at each call.

jaxtyping's import hook puts a decorator above every function and class; the one here takes the place of its own, which binds the
arguments of each call anew for shapes, and with which the tests took twice as long. Three more departures:

* an int is taken where a float is annotated, as mypy does;
* a function defined inside another is left alone: decorating it at each call costs more than the call;
* nothing is checked while torch.compile traces, for it cannot trace the checker. The loop makes the same calls, checked.
"""

import contextlib
import dataclasses
import functools
import types
from typing import Self

import jaxtyping
import torch
from beartype import BeartypeConf, FrozenDict, beartype
from beartype.door import die_if_unbearable

SELF = FrozenDict({Self: object})  # beartype knows Self only where it decorates a whole class
CONFIGURATION = BeartypeConf(is_pep484_tower=True, hint_overrides=SELF)


def install(package):
    """Check what is imported of the package from now on."""
    jaxtyping.jaxtyped = lambda *, typechecker: decorate
    jaxtyping.install_import_hook(package, "beartype.beartype")


def decorate(one):
    """What the hook writes above every function and class of the package."""
    if torch.compiler.is_compiling() or "<locals>" in one.__qualname__:
        return one
    if not isinstance(one, type):
        return checked_by(one, with_types)
    if dataclasses.is_dataclass(one) and "__init__" in vars(one):
        one.__init__ = checked_by(one.__init__, with_fields)
    return one


def checked_by(function, make):
    """The function with its check, which is made at the first call: by then every name of its module is there."""
    made = None

    @functools.wraps(function)
    def checked_unless_compiling(*args, **kwargs):
        nonlocal made
        if torch.compiler.is_compiling() or jaxtyping.config.jaxtyping_disable:
            return function(*args, **kwargs)
        if made is None:
            made = make(function)
        return made(*args, **kwargs)

    return checked_unless_compiling


def with_types(function):
    """The function, its arguments and its answer checked."""
    new = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    new.__kwdefaults__, new.__qualname__, new.__annotations__ = function.__kwdefaults__, function.__qualname__, hints_of(function)
    return beartype(conf=CONFIGURATION)(new)


def with_fields(function):
    """The `__init__` of a dataclass, its fields checked when they are there: what the class itself refuses comes first."""
    hints = {name: hint for name, hint in hints_of(function).items() if name != "return"}

    def init(self, *args, **kwargs):
        function(self, *args, **kwargs)
        for name, hint in hints.items():
            if hasattr(self, name):
                die_if_unbearable(getattr(self, name), hint, conf=CONFIGURATION)

    return init


def hints_of(function):
    """Those of its annotations that there are at run time: a name of `if TYPE_CHECKING` is none."""
    hints = {}
    for name, hint in function.__annotations__.items():
        with contextlib.suppress(NameError):
            hints[name] = eval(hint, function.__globals__) if isinstance(hint, str) else hint
    return hints
