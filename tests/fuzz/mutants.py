"""Every mutant of a JSON value: each node in turn replaced by what it is not, left out, or renamed."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

WRONG = (None, True, -1, 0, 7, 10**9, 10**30, 0.5, float("nan"), float("inf"), "", "x", "a/../b", [], [[]], {}, [0] * 5, {"a": 1})
WRONG += ({"class": "MLP"}, {"class": [], "arguments": {}}, {"setting": {}, "arguments": {}}, {"function": []}, {"own": 3})

Path = tuple[Any, ...]


def mutants(tree: Any) -> Iterator[tuple[Path, str, Any]]:
    """(place, what was done there, the whole tree after it)."""
    yield from (((), repr(wrong), wrong) for wrong in WRONG)
    for path in _places(tree):
        for wrong in WRONG:
            yield path, repr(wrong), _changed(tree, path, lambda parent, key, wrong=wrong: parent.__setitem__(key, wrong))
        yield path, "left out", _changed(tree, path, lambda parent, key: parent.__delitem__(key))
        if isinstance(path[-1], str):
            yield path, "renamed", _changed(tree, path, lambda parent, key: parent.update(zzz=parent.pop(key)))


def _places(tree: Any, path: Path = ()) -> Iterator[Path]:
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from _places(child, (*path, key))


def _changed(tree: Any, path: Path, change: Any) -> Any:
    made = parent = copy.deepcopy(tree)
    for key in path[:-1]:
        parent = parent[key]
    change(parent, path[-1])
    return made
