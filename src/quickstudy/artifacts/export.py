"""export: an adapted predictor as one file that runs without quickstudy, checked by running it.

torch.export   a program of torch (.pt2):   torch.export.load(path).module()(x)
onnx           a graph for ONNX Runtime (.onnx), the extra [onnx]:  session.run(["logits"], {"images": x})

Both take any number of examples. The file holds the adapted state as constants.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.arguments import checked
from quickstudy.errors import ArgumentError, ConvergenceError, MissingPackageError, UnsupportedError
from quickstudy.learners.predictor import Predictor

TOLERANCE = 1e-3  # of the largest logit, in float32: another runtime adds in another order
INPUT, OUTPUT = "images", "logits"  # of an ONNX graph
SUFFIXES = {"torch.export": ".pt2", "onnx": ".onnx"}


@checked
def export(predictor: Predictor, path: str | Path, x: Tensor, format: str = "torch.export") -> float:
    """Write `predictor` as one file, run that file on other numbers of examples, and compare their answers.

    Args:
        predictor: the adapted learner.
        path: the file to write.
        x: two or more examples as the predictor takes them, (examples, *feature), to trace and check the file with.
        format: "torch.export" or "onnx".

    Returns:
        The largest difference between the file's answers and the predictor's, relative to the largest answer.

    Raises:
        ArgumentError: an unknown format, or fewer than two examples.
        MissingPackageError: onnx, onnxscript or onnxruntime is not installed.
        UnsupportedError: torch cannot trace the network.
        ConvergenceError: the file's answers differ from the predictor's; the file is removed.
    """
    if format not in SUFFIXES:
        raise ArgumentError("format", expected="'torch.export' or 'onnx'", got=repr(format), do="Take one of them.")
    if len(x) < 2:
        raise ArgumentError("x", expected="2 examples or more", got=str(len(x)), do="With one, torch would fix the number.")
    if format == "onnx":
        need("onnx", "onnxscript", "onnxruntime")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part" + SUFFIXES[format])
    module = predictor.to_module().eval()
    answer = _write_onnx(module, x, part) if format == "onnx" else _write_program(module, x, part)
    difference = max(_difference(answer(some), predictor(some)) for some in (x, x[:1]))
    if not difference <= TOLERANCE:
        part.unlink()
        raise ConvergenceError(
            "format",
            expected=f"a file that answers as the predictor does, within {TOLERANCE:g} of the largest answer",
            got=f"{difference:.2g}",
            do="Take the other format, or `predictor.save(path)`.",
            residual=difference,
        )
    os.replace(part, path)
    return difference


def need(*packages: str) -> None:
    """Raise where an optional package is not installed."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingPackageError(
            "format='onnx'", expected="the extra [onnx]", got="no " + ", ".join(missing), do="pip install 'quickstudy[onnx]'"
        )


def _write_program(module: nn.Module, x: Tensor, path: Path) -> Callable[[Tensor], Tensor]:
    with _refused("torch.export"), torch.no_grad():
        program = torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
        torch.export.save(program, path)
    return torch.export.load(path).module()


def _write_onnx(module: nn.Module, x: Tensor, path: Path) -> Callable[[Tensor], Tensor]:
    with _refused("onnx"), torch.no_grad():
        shapes = ({0: torch.export.Dim.DYNAMIC},)
        names: Any = {"input_names": [INPUT], "output_names": [OUTPUT]}
        torch.onnx.export(module, (x,), path, dynamo=True, dynamic_shapes=shapes, verbose=False, external_data=False, **names)
    session: Any = importlib.import_module("onnxruntime").InferenceSession(path)
    return lambda some: torch.from_numpy(session.run([OUTPUT], {INPUT: some.numpy()})[0])


@contextmanager
def _refused(format: str) -> Iterator[None]:
    """Turn torch's refusal into an UnsupportedError, and silence its notes on packages that an export does not need."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.filterwarnings("ignore", message="No complete tensor found in the group")
            yield
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        got = " ".join(str(error).split())[:300]
        raise UnsupportedError(
            f"format={format!r}",
            expected="a network that torch can trace: no branch on the values of x",
            got=f"{type(error).__name__}: {got}",
            do="Use `predictor.to_module()` or `predictor.save(path)`.",
        ) from error
    finally:
        logger.setLevel(level)


def _difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-12))
