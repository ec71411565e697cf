"""Blueprint: copies of a module's structure with other tensors in place of its own, each for one call.

    copy  =  blueprint({"head.weight": theta, ...})

The user's module is only read. Nothing is swapped in it, so threads may share it, and a recomputation in the backward pass
(torch.utils.checkpoint) finds the weights of its own call. Wherever the module refers to one of its modules or tensors (a list
such as `nn.GRU._flat_weights`, a bound method, a closure, an object), the copy refers to its counterpart. Python state is copied,
buffers are cloned. A blueprint is made again for each scope (a batch, a call), so it is never stale.

Every float `eps` of a module carries the module's qualified name in the copy (`Named`): a norm passes its eps to torch, which
tells `Forward` which norm it answers. torch.compile accepts it too.
"""

from __future__ import annotations

import copy
import enum
import functools
import operator
import threading
import types
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from quickstudy.errors import UnsupportedError

# Types that copies may share: immutable, or not part of a network's state.
SHARED: set[type] = {int, float, complex, bool, str, bytes, type(None), type, range, types.BuiltinFunctionType, types.ModuleType}
SHARED |= {torch.dtype, torch.device, torch.Size, torch.memory_format, torch.Generator, weakref.ref}
SHARED |= {type(threading.Lock()), type(threading.RLock())}

OF_EVERY_MODULE = set(vars(nn.Module()))  # hooks and the like
TABLES = {"_parameters", "_buffers", "_modules"}
COUNTER = "num_batches_tracked"
FLAT = (tuple, list, dict, set)
OURS = (nn.Module, Tensor, types.MethodType, types.FunctionType)  # the parts of a module that a closure may hold


def share(kind: type) -> type:
    """Let the copies of a network share objects of this type instead of copying them: a tokenizer, a table. Decorates a class."""
    SHARED.add(kind)
    return kind


class Named(float):
    """A float that carries the qualified name of its module."""

    __slots__ = ("module",)
    module: str


SHARED.add(Named)


class Hidden:
    """A module that is structure and not phi: its parameters are not parameters of the module that holds it."""

    def __init__(self, module: nn.Module):
        self.module = module


class Blueprint:
    """Makes copies of a module.

    Args:
        module: any nn.Module.
        training: the training flag of every module in a copy; None: as in the original.

    Raises:
        UnsupportedError: a torch.jit module; at the call, an attribute that cannot be copied.

    Examples:
        >>> from quickstudy.forward import Blueprint
        >>> network = torch.nn.Linear(2, 1)
        >>> copy = Blueprint(network)({"weight": torch.zeros(1, 2), "bias": torch.ones(1)})
        >>> copy(torch.randn(3, 2)).flatten().tolist()
        [1.0, 1.0, 1.0]
    """

    def __init__(self, module: nn.Module, training: bool | None = None):
        self.module = module
        self.tensors: dict[str, Tensor] = {}  # by every qualified name, ties included
        self.buffers: list[tuple[Tensor, str | None]] = []  # those that a pass may write to; for a running mean, its norm
        self.shared: dict[int, Any] = {id(None): None}  # by id: what a copy holds unless the call replaces it
        parts: dict[nn.Module, str] = {}
        self._visit(module, "", parts, named=True)
        self.parts, self.paths = list(parts), list(parts.values())
        self.fixed: list[dict[str, Any]] = []  # for each part: attributes that all copies share
        self.tables: list[tuple[int, str, list[tuple[str, int]]]] = []  # its parameters, buffers and modules: name and id
        self.own: list[tuple[int, str, Any, Callable | None]] = []  # attributes that each copy owns, and how to make them
        for index, (part, path) in enumerate(parts.items()):
            self._read(index, part, path, training)
        # Functions last: by then everything that a closure may share with an attribute is copied.
        self.own.sort(key=lambda one: isinstance(one[2], types.FunctionType) or one[1].endswith("_hooks"))

    def _visit(self, part: nn.Module, path: str, parts: dict[nn.Module, str], named: bool) -> None:
        """Record every module, in plain containers too, and every tensor."""
        if part in parts:
            return
        if isinstance(part, torch.jit.ScriptModule):
            raise UnsupportedError(
                path or type(part).__name__,
                expected="a module of Python",
                got="a torch.jit module, whose tensors lie out of Python's reach",
                do="Pass the module that it was scripted or traced from.",
            )
        parts[part], dot = path, path + "." if path else ""
        norm = isinstance(part, nn.modules.batchnorm._NormBase)  # Forward reads its averages and never writes to them
        for table in (part._parameters, part._buffers):
            for key, tensor in table.items():
                if tensor is None:
                    continue
                self.shared[id(tensor)] = tensor
                if named:
                    self.tensors[dot + key] = tensor
                if table is part._buffers and not norm:
                    averages = getattr(tensor, "averages_of", path) if key == "running_mean" else None
                    self.buffers.append((tensor, averages))
        for key, child in part._modules.items():
            if child is not None:
                self._visit(child, dot + key, parts, named)
        for key, value in part.__dict__.items():
            if key in OF_EVERY_MODULE or type(value) in SHARED:
                continue
            if isinstance(value, Hidden):
                self._visit(value.module, dot + key, parts, named=False)
            elif isinstance(value, list | tuple | dict):
                for i, one in enumerate(value.values() if isinstance(value, dict) else value):
                    if isinstance(one, nn.Module):
                        self._visit(one, f"{dot}{key}[{i}]", parts, named=False)

    def _read(self, index: int, part: nn.Module, path: str, training: bool | None) -> None:
        """Sort a part's attributes into those that copies share and those that each copy owns."""
        fixed: dict[str, Any] = {}
        for key, value in part.__dict__.items():  # plain loops and early ends: this runs for every task
            kind = type(value)
            if kind in SHARED:
                fixed[key] = value
            elif key in TABLES:
                table = []
                for name, one in value.items():
                    # A norm counts its batches in a tensor of its own, which nothing here reads.
                    table.append((name, id(None if name == COUNTER else one)))
                self.tables.append((index, key, table))
            elif key in OF_EVERY_MODULE and not value:
                fixed[key] = kind()
            elif kind is Blueprint:
                fixed[key] = None  # a copy makes its own
            elif constant(value):
                fixed[key] = value
            else:
                flat = kind in FLAT and _flat(value.values() if kind is dict else value)
                self.own.append((index, key, value, kind if flat else None))
        if training is not None:
            fixed["training"] = training
        if hasattr(type(part), "is_copy"):
            fixed["is_copy"] = True
        if type(fixed.get("eps")) is float:  # in the copy of a copy it has its name already
            fixed["eps"] = Named(fixed["eps"])
            fixed["eps"].module = path
        self.fixed.append(fixed)

    def __call__(self, tensors: Mapping[str, Tensor] = types.MappingProxyType({})) -> Any:
        """A copy that holds `tensors`, by qualified name, in place of the module's own."""
        memo = dict(self.shared)  # id of what the module holds -> what the copy holds
        given = {id(self.tensors[name]): tensor for name, tensor in tensors.items()}
        for buffer, averages in self.buffers:
            if id(buffer) not in given:
                clone = memo[id(buffer)] = buffer.clone()
                if averages is not None:
                    clone.averages_of = averages  # type: ignore[attr-defined]
        memo.update(given)
        copies = []
        for part, fixed in zip(self.parts, self.fixed, strict=True):  # plain loops: this runs for every pass
            new = memo[id(part)] = object.__new__(type(part))
            new.__dict__.update(fixed)
            copies.append(new)
        for index, key, table in self.tables:
            held = copies[index].__dict__[key] = {}
            for name, known in table:
                held[name] = memo[known]
        for index, key, value, kind in self.own:
            try:
                made = kind(value) if kind else replica(value, memo)
            except (TypeError, RuntimeError) as error:
                raise UnsupportedError(
                    f"{self.paths[index]}.{key}".lstrip("."),
                    expected=f"attributes of {type(self.parts[0]).__name__} that a copy for each call can have",
                    got=f"a {type(value).__name__}: {' '.join(str(error).split())[:160]}",
                    do="Open or make it within forward, or let copies share its type: quickstudy.forward.share(type).",
                ) from error
            memo[id(value)] = copies[index].__dict__[key] = made
        return copies[0]

    def same_structure(self, other: Blueprint) -> bool:
        """Whether copies of the two are interchangeable: only the numbers in their tensors may differ."""
        held = lambda plan: [(index, key, value if kind else id(value)) for index, key, value, kind in plan.own]  # noqa: E731
        ids = lambda plan: [id(part) for part in plan.parts]  # noqa: E731
        return (
            ids(self) == ids(other)
            and self.fixed == other.fixed
            and self.tables == other.tables
            and held(self) == held(other)
            and all(self.shared[key].requires_grad == other.shared[key].requires_grad for key in self.shared if key != id(None))
        )


class Snapshot:
    """The attributes of a blueprint's parts at one time: a quick check that only numbers in tensors have changed since."""

    def __init__(self, plan: Blueprint):
        self.attributes = [(part.__dict__, dict(part.__dict__)) for part in plan.parts]
        values = [value for _, taken in self.attributes for value in taken.values() if isinstance(value, list | dict | set)]
        self.empty = [value for value in values if not value]  # most of them: hooks
        self.contents = [(value, copy.copy(value)) for value in values if value]

    def holds(self) -> bool:
        """Whether every part has the same attributes and every container among them the same members, each the same object."""
        return not any(self.empty) and all(_same(*one) for one in (*self.attributes, *self.contents))


def _same(now: Any, taken: Any) -> bool:
    """Whether two containers have the same members in the same order."""
    if len(now) != len(taken) or not all(map(operator.is_, now, taken)):
        return False
    return not isinstance(now, dict) or all(map(operator.is_, now.values(), taken.values()))


def constant(value: Any) -> bool:
    """Whether a value cannot change and holds neither module nor tensor."""
    kind = type(value)
    if kind in SHARED:
        return True
    if kind is tuple or kind is frozenset:
        return _flat(value)
    if kind is types.FunctionType:
        if value.__closure__ is None and value.__defaults__ is None:
            return True
        return not any(isinstance(one, OURS) for one in _held(value))
    if kind is functools.partial:
        return constant(value.func) and _flat(value.args) and _flat(value.keywords.values())
    parameters = getattr(kind, "__dataclass_params__", None)
    if parameters is not None:
        return parameters.frozen and _flat([value.__dict__.get(name) for name in kind.__dataclass_fields__])
    return isinstance(value, enum.Enum | numpy.generic)


def _flat(values: Any) -> bool:
    return SHARED.issuperset(map(type, values)) or all(map(constant, values))


def replica(value: Any, memo: dict[int, Any]) -> Any:
    """The value's counterpart in a copy."""
    if id(value) in memo:
        return memo[id(value)]
    if constant(value):
        return value
    kind = type(value)
    new: Any
    if kind is tuple:
        return tuple([replica(one, memo) for one in value])
    if kind is list:
        new = memo[id(value)] = []
        new.extend([replica(one, memo) for one in value])
    elif kind is dict or kind is OrderedDict:
        new = memo[id(value)] = kind()
        new.update({key: replica(one, memo) for key, one in value.items()})
    elif kind is types.FunctionType:
        new = _function(value, memo)
    elif kind is Hidden:
        new = memo[id(value)] = Hidden(replica(value.module, memo))
    elif isinstance(value, Tensor):  # neither parameter nor buffer
        new = memo[id(value)] = value.clone()
    else:
        new = copy.deepcopy(value, memo)
    return new


def _held(function: Any) -> list[Any]:
    """What a function holds in its closure and defaults."""
    cells = []
    for cell in function.__closure__ or ():
        try:
            cells.append(cell.cell_contents)
        except ValueError:  # not filled yet
            cells.append(None)
    return [*cells, *(function.__defaults__ or ())]


def _function(function: Any, memo: dict[int, Any]) -> Any:
    """A copy of the function that refers to the copy's modules and tensors in its closure and defaults."""
    memo[id(function)] = function  # in case it holds itself
    held = [replica(one, memo) if isinstance(one, OURS) else memo.get(id(one), one) for one in _held(function)]
    n = len(function.__closure__ or ())
    cells, defaults = tuple(types.CellType(one) for one in held[:n]) or None, tuple(held[n:]) or None
    new = types.FunctionType(function.__code__, function.__globals__, function.__name__, defaults, cells)
    new.__kwdefaults__ = function.__kwdefaults__
    memo[id(function)] = new
    return new
