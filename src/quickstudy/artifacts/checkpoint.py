"""Checkpoint: the whole state of a run in one file. A killed run resumes from it with exactly the numbers of an unbroken one.

    step-00001200.safetensors     the tensors; in its header, as JSON, everything else and where each tensor belongs

A file is written beside its place and renamed, so it is whole or not there at all; the two newest are kept. A hash of state and
tensors is in the header, so that a damaged one is passed over. Nothing in it can run code.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from quickstudy.errors import CheckpointError
from quickstudy.files import writing

FORMAT = 2  # 1: without a hash
KEEP = 2  # checkpoints that stay
PATTERN = "step-*.safetensors"


def save_checkpoint(folder: str | Path, step: int, state: Any) -> Path:
    """Write `state`, a tree of dicts, lists, tuples, tensors and plain values, and delete all but the newest `KEEP`.

    Raises:
        DataError: no space or no permission to write; earlier checkpoints stay.
    """
    folder = Path(folder)
    path = folder / f"step-{step:08d}.safetensors"
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_encode(state, tensors))
    header = {"format": str(FORMAT), "step": str(step), "state": text, "hash": _hash(step, text, tensors)}
    before = [_step(one) for one in checkpoints(folder)]
    whole = f"the checkpoint of step {before[0]} is whole." if before else "there is no earlier checkpoint."
    with writing(path, do=f"Make room and resume the run; {whole}") as part:
        save_file(tensors, part, header)
    for old in checkpoints(folder)[KEEP:]:
        old.unlink(missing_ok=True)
    return path


def load_checkpoint(folder: str | Path) -> tuple[int, Any, list[str]]:
    """The newest readable checkpoint: its step, its state, and a line for each newer one that was passed over.

    Raises:
        CheckpointError: no checkpoint can be read; the reasons are listed.
    """
    passed_over: list[str] = []
    for path in checkpoints(folder):
        try:
            return (*_read(path), passed_over)
        except CheckpointError as error:
            passed_over.append(str(error))
    raise CheckpointError(
        str(folder),
        expected="a checkpoint, step-*.safetensors",
        got="none that reads: " + "; ".join(passed_over) if passed_over else "none",
        do="Start the run again: `quickstudy train --config RUN/config.yaml`.",
    )


def checkpoints(folder: str | Path) -> list[Path]:
    """The checkpoints of a folder, newest first, without files that are still being written."""
    return sorted((path for path in Path(folder).glob(PATTERN) if path.stem[5:].isdigit()), key=_step, reverse=True)


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))


def _read(path: Path) -> tuple[int, Any]:
    """Step and state of one file, or CheckpointError."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            found = header.get("format", "")
            if found.isdigit() and int(found) > FORMAT:
                raise CheckpointError(str(path), expected=f"format {FORMAT}", got=f"format {found}", do="Update quickstudy.")
            if found != str(FORMAT):
                raise CheckpointError(
                    str(path),
                    expected="a checkpoint of quickstudy",
                    got="a file of another kind",
                    do="Remove it from the folder.",
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no mapping)
        step, text = int(header["step"]), header["state"]
        if header.get("hash") != _hash(step, text, tensors):
            raise ValueError("its hash is another: a bit was flipped, or a part was written over")
        return step, _decode(json.loads(text), tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            str(path), expected="a whole checkpoint", got=f"one that does not read ({error})", do="The one before it is used."
        ) from error


def _hash(step: int, text: str, tensors: dict[str, Tensor]) -> str:
    """Of everything that a checkpoint holds."""
    digest = hashlib.sha256(f"{step} {text}".encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)} ".encode())
        if tensors[name].numel():
            digest.update(memoryview(tensors[name].reshape(-1).view(torch.uint8).numpy()))  # type: ignore[arg-type]
    return digest.hexdigest()


# ---- a tree as JSON: tensors by name, dicts as pairs (an optimizer's keys are numbers), tuples told from lists -----------------


def _encode(tree: Any, tensors: dict[str, Tensor]) -> Any:
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    if isinstance(tree, Tensor):
        name = f"t{len(tensors)}"
        tensors[name] = tree.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": name}
    if isinstance(tree, dict):
        return {"dict": [[_encode(key, tensors), _encode(value, tensors)] for key, value in tree.items()]}
    if isinstance(tree, list | tuple):
        return {"tuple" if isinstance(tree, tuple) else "list": [_encode(one, tensors) for one in tree]}
    raise CheckpointError(
        "state",
        expected="a tree of dicts, lists, tuples, tensors, numbers and text",
        got=f"a {type(tree).__name__} in it",
        do="Use an optimizer and a scheduler whose state_dict holds plain values.",
    )


def _decode(spec: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(spec, dict):
        return spec
    ((kind, value),) = spec.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "dict":
        return {_decode(key, tensors): _decode(one, tensors) for key, one in value}
    if kind in ("list", "tuple"):
        parts = [_decode(one, tensors) for one in value]
        return parts if kind == "list" else tuple(parts)
    raise ValueError(f"an unknown kind {kind!r}")
