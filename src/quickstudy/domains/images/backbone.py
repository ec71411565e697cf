"""Features of a pre-trained network in place of raw data, computed once, so that every learner runs on them in seconds.

x_i  ->  f(x_i)            f in eval mode, without a graph, in batches
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, overload

import torch
from torch import Tensor, nn

from quickstudy.arguments import checked
from quickstudy.episode import Examples
from quickstudy.errors import ArgumentError, ShapeError, UnsupportedError
from quickstudy.forward.call import plain
from quickstudy.progress import bar
from quickstudy.tasks.distribution.family import SPLITS, TaskFamily
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.distribution.lazy_rows import LazyRows
from quickstudy.tasks.distribution.rows import as_float
from quickstudy.tasks.distribution.size import Size


@overload
def from_backbone(
    tasks: TaskFamily[Any], module: nn.Module, *, batch_size: int = 256, progress: bool = True
) -> TaskFamily[LabelledTasks]: ...


@overload
def from_backbone(tasks: LabelledTasks, module: nn.Module, *, batch_size: int = 256, progress: bool = True) -> LabelledTasks: ...


@overload
def from_backbone(
    tasks: Any,
    module: nn.Module,
    *,
    batch_size: int = 256,
    progress: bool = True,
    ways: Size = 5,
    shots: Size = 1,
    queries: Size = 15,
    class_names: Sequence[str] | None = None,
) -> LabelledTasks: ...


@checked
def from_backbone(
    tasks: Any,
    module: nn.Module,
    *,
    batch_size: int = 256,
    progress: bool = True,
    ways: Size = 5,
    shots: Size = 1,
    queries: Size = 15,
    class_names: Sequence[str] | None = None,
) -> Any:
    """The same tasks over the features f(x) of a pre-trained network.

    The module runs in eval mode and without a graph, and is left as it was. It sees images normalised as in `tasks`. Image
    transforms (`transform=`) differ at each draw, so they are left out; augmentations of episodes (`augment=`) stay, and act on
    features. Features are on the device of the data.

    Args:
        tasks: a TaskFamily of LabelledTasks (all three are mapped), LabelledTasks, or labelled data: Examples, or a map-style
            dataset whose items are (x, y) with integer labels 0..C-1.
        module: f, (examples, *feature) -> (examples, features); further axes are flattened.
        batch_size: examples per forward pass.
        progress: show a progress bar on stderr.
        ways, shots, queries, class_names: the protocol, for labelled data; tasks have their own.

    Returns:
        A TaskFamily for a TaskFamily, else LabelledTasks.

    Raises:
        UnsupportedError: tasks that hold no labelled data; a module that returns no tensor.
        ShapeError: a module that does not return one row for each example.
        ArgumentError: a batch_size below 1.
        NotFiniteError: NaN or infinity among the features.

    Examples:
        >>> tasks = qs.tasks.Strokes(ways=3, queries=4, classes=(8, 4, 4), examples=5)
        >>> backbone = qs.models.Conv4(channels=8)
        >>> embedded = qs.tasks.from_backbone(tasks, backbone, progress=False)
        >>> embedded.test.sample(2).support.x.shape
        torch.Size([2, 3, 8])
    """
    if batch_size < 1:
        raise ArgumentError("batch_size", expected="1 or more", got=str(batch_size), do="256 is the default.")
    plain("module", module)
    if isinstance(tasks, TaskFamily):
        parts = {name: _tasks(part, module, batch_size, progress, f"features, {name}") for name, part in tasks.parts.items()}
        return TaskFamily(*map(parts.get, SPLITS), same_classes=tasks.same_classes, same_content=tasks.same_content)
    if isinstance(tasks, LabelledTasks):
        return _tasks(tasks, module, batch_size, progress, "features")
    data = tasks if isinstance(tasks, Examples) else _collected(tasks)
    z = features(module, data.x, batch_size=batch_size, progress=progress)
    return LabelledTasks(z, data.y, ways=ways, shots=shots, queries=queries, class_names=class_names)


def features(
    module: nn.Module,
    x: Tensor | LazyRows,
    *,
    batch_size: int = 256,
    progress: bool = False,
    what: str = "features",
    see: Callable[[Tensor], Tensor] = as_float,
) -> Tensor:
    """f(see(x)), (examples, features), for x (examples, *feature); uint8 images become numbers in [0, 1], batch by batch."""
    like = next(chain(module.parameters(), module.buffers()), torch.empty(0, device=x.device))
    rows = []
    with bar(len(x), what, progress) as advance, torch.no_grad(), _eval_mode(module):
        for part in x.split(batch_size):
            z = module(see(part).to(like.device))
            _check(z, len(part))
            rows.append(z.flatten(1).to(x.device))
            advance(len(part))
    return torch.cat(rows)


def _tasks(tasks: Any, module: nn.Module, batch_size: int, progress: bool, what: str) -> LabelledTasks:
    if not isinstance(tasks, LabelledTasks):
        raise UnsupportedError(
            "tasks",
            expected="LabelledTasks, which hold their data",
            got=type(tasks).__name__,
            do="Tasks that are drawn anew each time have nothing to compute once: put the module into the learner instead, "
            "quickstudy.from_backbone(module).",
        )
    return LabelledTasks(
        features(module, tasks.x, batch_size=batch_size, progress=progress, what=what, see=tasks.shown),
        tasks.y,
        ways=tasks.ways,
        shots=tasks.shots,
        queries=tasks.queries,
        class_names=tasks.class_names,
        augment=tasks.augment,
        columns=tasks.columns,
        within=None if tasks.within is None else tasks.within.column,
        made=tasks.made,
    )


def _collected(dataset: Any) -> Examples:
    """All items of a map-style dataset."""
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise UnsupportedError(
            "tasks",
            expected="a TaskFamily, LabelledTasks, Examples, or a dataset with a length whose items are (x, y)",
            got=type(dataset).__name__,
            do="For tensors give quickstudy.Examples(x, y).",
        )
    x, y = zip(*(dataset[index] for index in range(len(dataset))), strict=True)
    return Examples(torch.stack([torch.as_tensor(one) for one in x]), torch.tensor([int(one) for one in y]))


def _check(z: Any, rows: int) -> None:
    if not isinstance(z, Tensor):
        raise UnsupportedError(
            "module",
            expected="one that returns a tensor (examples, features)",
            got=f"a {type(z).__name__}",
            do="Wrap it in a module whose forward picks the tensor out.",
        )
    if z.ndim < 2 or len(z) != rows:
        raise ShapeError(
            "module",
            expected=f"({rows}, features), a row for each example",
            got=str(tuple(z.shape)),
            do="Take away what pools over examples, or flattens them.",
        )


@contextmanager
def _eval_mode(module: nn.Module) -> Iterator[None]:
    """Eval mode inside the context; restores the flag of each submodule."""
    flags = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in flags.items():
            part.training = training
