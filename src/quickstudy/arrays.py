"""Arrays, tables and lists as tensors: numbers in the form in which people have them.

    float          in the asked dtype, or in torch's default one
    bool, integer  `as_tensor`: bool like floats, bytes as they are, other integers as int64
                   `as_inputs`: as floats, bytes divided by 255: what a network takes
    text           refused

A tensor that is handed to `as_inputs` comes back as it is, so nothing is read inside vmap or compile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from quickstudy.errors import LabelError, ShapeError


def as_tensor(x: Any, argument: str = "x", *, dtype: torch.dtype | None = None) -> Tensor:
    """Numbers as one tensor: floats in `dtype`, or in torch's default one, bytes as they are, other integers as int64.

    Raises:
        ShapeError: examples of different shapes.
        LabelError: text where numbers are expected.
    """
    if not isinstance(x, Tensor):
        try:
            array = np.stack([np.asarray(one) for one in x]) if isinstance(x, list | tuple) else np.asarray(x)
        except ValueError as error:
            shapes = list(dict.fromkeys(np.shape(one) for one in x))
            raise ShapeError(
                argument,
                expected="examples of one shape",
                got=" and ".join(map(str, shapes[:3])) if shapes else "none",
                do="Resize or pad them to one size; images are with `size=`." if shapes else "Bring some.",
            ) from error
        if array.dtype == object:
            array = _numbers(array)
        if array.dtype.kind not in "biuf":
            raise LabelError(
                argument,
                expected="numbers",
                got=f"dtype {array.dtype}, such as {str(array.flat[0])[:40]!r}" if array.size else f"dtype {array.dtype}",
                do="Turn text into features first.",
            )
        x = torch.from_numpy(np.require(array, requirements=["C", "W"]))
    if x.dtype in (torch.uint8, torch.uint16):
        return x
    return x.to((dtype or torch.get_default_dtype()) if x.is_floating_point() or x.dtype == torch.bool else torch.int64)


def _numbers(array: np.ndarray) -> np.ndarray:
    """An array of objects, such as a table's values, as floats; unchanged if one of them is not a number."""
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError):
        return array


def as_inputs(x: Any, argument: str = "x", *, dtype: torch.dtype | None = None) -> Any:
    """What a learner takes: x with every array, table and list in it as a tensor of floats; tensors as they are.

    A list or tuple with a tensor in it is an input of several parts, as for `torch.utils._pytree`; any other is one array.

    Args:
        x: tensors, NumPy arrays, tables of pandas, lists of numbers, or a mapping of them.
        argument: what the user calls x.
        dtype: of the floats that are made; None: torch's default one.

    Returns:
        A tensor, or a pytree of tensors. Bytes are divided by 255, as images are read everywhere; other integers become floats.
        Integers that index an embedding are given as a tensor.

    Raises:
        ShapeError: examples of different shapes, or a single number.
        LabelError: text where numbers are expected.

    Examples:
        >>> from quickstudy.arrays import as_inputs
        >>> as_inputs([[1, 2], [3, 4]])
        tensor([[1., 2.],
                [3., 4.]])
    """
    if isinstance(x, Tensor):
        return x
    if isinstance(x, Mapping):
        found = {key: as_inputs(value, f"{argument}[{key!r}]", dtype=dtype) for key, value in x.items()}
        return x if all(found[key] is x[key] for key in found) else found
    if isinstance(x, list | tuple):
        leaves = pytree.tree_leaves(x)
        if leaves and all(isinstance(leaf, Tensor) for leaf in leaves):
            return x
        if any(isinstance(leaf, Tensor) for leaf in leaves) or any(isinstance(one, Mapping) for one in x):
            parts = [as_inputs(one, f"{argument}[{index}]", dtype=dtype) for index, one in enumerate(x)]
            return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    elif type(x) in pytree.SUPPORTED_NODES:  # a node of the user's own
        return x
    return _floats(as_tensor(x, argument), argument, dtype or torch.get_default_dtype())


def _floats(x: Tensor, argument: str, dtype: torch.dtype) -> Tensor:
    if x.ndim == 0:
        raise ShapeError(
            argument, expected="examples along the first axis", got=f"the number {x.item()}", do="Give a list of examples."
        )
    return x.to(dtype) / 255 if x.dtype == torch.uint8 else x.to(dtype)
