"""The order of the rooms: no module imports upwards, and there is no circle of files."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src" / "quickstudy"

# From what knows least to what knows most. A room may import those before it.
ORDER = (
    *(
        "errors",
        "arguments",
        "arrays",
        "files",
        "records",
        "archives",
        "plain_yaml",
        "forks",
        "process_wide",
        "options",
        "calls",
        "random",
        "randomness",
        "progress",
        "registry",
        "forward",
        "weights",
        "targets",
        "episode",
        "buckets",
        "models",
    ),
    *(
        "linear_solvers",
        "tasks",
        "features",
        "learners",
        "meta",
        "meta.estimators",
        "meta.executors",
        "meta.outer",
        "meta.searches",
    ),
    *("recipes", "evaluation", "diagnostics", "artifacts", "optim", "meta.loop", "domains"),
    *("report", "testing", "sklearn", "cli"),
)
TOGETHER = {"meta", "meta.estimators", "meta.executors"}  # estimators and executors know the problem, and it knows them


def modules() -> dict[str, Path]:
    names = {path: ".".join(("quickstudy", *path.relative_to(SOURCE).with_suffix("").parts)) for path in SOURCE.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for path, name in names.items()}


def imports(text: str, known: set[str]) -> set[str]:
    """What a module imports of the package as it is imported itself: not for type checkers alone, and not in a function."""
    found = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("quickstudy"):
            whole = {f"{node.module}.{one.name}" for one in node.names}
            found |= {name if name in known else node.module for name in whole}
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names if one.name.startswith("quickstudy")}
    return found


def room(module: str) -> str:
    parts = module.split(".")[1:]
    return next((name for name in (".".join(parts[:2]), *parts[:1]) if name in ORDER), "")


def upwards(graph: dict[str, set[str]]) -> set[tuple[str, str]]:
    """Imports of a room from one that stands after it."""
    found = set()
    for module, targets in graph.items():
        for target in targets:
            own, other = room(module), room(target)
            if own and other and not {own, other} <= TOGETHER and ORDER.index(other) > ORDER.index(own):
                found.add((module, target))
    return found


def circle(graph: dict[str, set[str]]) -> list[str]:
    """A circle of modules, each importing the next; empty where there is none."""
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> list[str]:
        if module in path:
            return path[path.index(module) :]
        if module in done:
            return []
        for target in graph.get(module, ()):
            if found := walk(target, [*path, module]):
                return found
        done.add(module)
        return []

    return next(filter(None, (walk(module, []) for module in graph)), [])


def the_graph() -> dict[str, set[str]]:
    known = modules()
    return {name: imports(path.read_text(encoding="utf-8"), set(known)) - {name} for name, path in known.items()}


def test_every_room_has_a_place():
    rooms = {name.split(".")[1] for name in modules() if "." in name}
    assert rooms == {name.partition(".")[0] for name in ORDER}


def test_no_module_imports_upwards():
    assert upwards({name: targets for name, targets in the_graph().items() if name != "quickstudy"}) == set()


def test_there_is_no_circle_of_files():
    assert circle(the_graph()) == []


def test_the_control_of_both():
    assert upwards({"quickstudy.learners.learner": {"quickstudy.evaluation.evaluate"}})
    assert not upwards({"quickstudy.evaluation.evaluate": {"quickstudy.learners.learner"}})
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert imports("import x\nif TYPE_CHECKING:\n    from quickstudy.cli import main\n", set()) == set()
    assert imports("from quickstudy.learners import learner", {"quickstudy.learners.learner"}) == {"quickstudy.learners.learner"}
