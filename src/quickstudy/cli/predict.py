"""quickstudy predict: learn from a folder of images a class, and name the images of another folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import quickstudy as qs
from quickstudy.artifacts.run import ready_to_predict
from quickstudy.cli.options import command, read
from quickstudy.cli.terminal import printable
from quickstudy.domains.images.kind import IMAGES
from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.errors import UnsupportedError
from quickstudy.evaluation.calibration import Calibration
from quickstudy.tasks.sources.folders import class_folders, files_of

UNKNOWN = "unknown"


def predict(argv: list[str]) -> int:
    """The command."""
    made = command("predict", "Name images after a few labelled ones.")
    made.add_argument("run", type=str, nargs="?", default="strokes", help="a run's folder, or the learner that comes along")
    made.add_argument("--support", type=str, required=True, help="a folder with a folder of images for each class")
    made.add_argument("--query", type=str, required=True, help="a folder of images, or one image")
    made.add_argument("--unknown", action="store_true", help=f"say {UNKNOWN!r} of an image that seems to be of no class")
    made.add_argument("--json", action="store_true", help="print one JSON record a line")
    options = read(made, argv)
    learner, preprocessing, calibration = ready_to_predict(options.run)
    names, support = read_support(Path(options.support), preprocessing)
    files = files_of(options.query, IMAGES)
    predictor = learner.adapt(support)
    logits = predictor(preprocessing.apply(torch.stack([preprocessing.read(path) for path in files])))
    if options.unknown and calibration is None:
        raise UnsupportedError(
            "--unknown", expected="a run with calibration.json", got=f"{options.run!r} without one", do="Train it again."
        )
    rows = answers(files, names, logits, calibration, options.unknown)
    if options.json:
        for row in rows:
            print(json.dumps(row))
    else:
        _print_table(rows)
    return 0


def read_support(folder: Path, preprocessing: Preprocessing) -> tuple[list[str], qs.Examples]:
    """The class names and the examples of a folder of class folders."""
    classes = class_folders(folder, IMAGES)
    images = [preprocessing.read(path) for files in classes.values() for path in files]
    y = torch.tensor([label for label, files in enumerate(classes.values()) for _ in files])
    return list(classes), qs.Examples(preprocessing.apply(torch.stack(images)), y, ways=len(classes))


def answers(
    files: list[Path], names: list[str], logits: Tensor, calibration: Calibration | None, rejects: bool
) -> list[dict[str, Any]]:
    """File, predicted class and its probability; with `rejects`, "unknown" for images that the calibration rejects."""
    probability = logits.softmax(-1) if calibration is None else calibration.probabilities(logits)
    unknown = calibration.is_unknown(logits) if calibration is not None and rejects else torch.zeros(len(files), dtype=torch.bool)
    rows = []
    for path, row, rejected in zip(files, probability, unknown.tolist(), strict=True):
        best = int(row.argmax())
        name = UNKNOWN if rejected else names[best]
        rows.append({"file": str(path), "class": name, "probability": round(float(row[best]), 4)})
    return rows


def _print_table(rows: list[dict[str, Any]]) -> None:
    width = max(len(row["file"]) for row in rows)
    for row in rows:
        print(f"{printable(row['file']):<{width}}  {printable(row['class'])}  {row['probability']:.3f}")
