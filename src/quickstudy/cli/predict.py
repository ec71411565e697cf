"""quickstudy predict: learn from a folder of images a class, and name the images of another folder.

exit code   0 all images are answered, 1 some could not be read and the others are answered, 2 no answer
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import quickstudy as qs
from quickstudy.artifacts.run import ready_to_predict
from quickstudy.artifacts.store import run_folder
from quickstudy.cli.image_folders import labels_of, read_files, read_support, warn_of_ground
from quickstudy.cli.options import command, read, whole
from quickstudy.cli.terminal import printable
from quickstudy.domains.images.kind import IMAGES
from quickstudy.episode import Examples
from quickstudy.errors import UnsupportedError
from quickstudy.evaluation.calibration import Calibration, calibrations
from quickstudy.evaluation.head_choice import AUTO, HEADS, HeadChoice, choose_head
from quickstudy.learners.contradictions import JUDGED, Contradiction, contradicted, questioned
from quickstudy.learners.learner import Learner
from quickstudy.tasks.sources.broken import together
from quickstudy.tasks.sources.folders import files_of

UNKNOWN = "unknown"
INVERT = "If only black and white are exchanged, add --invert (in Python: `invert=` of a Preprocessing)."
HEAD_HELP = (
    "how the learner's features are read: auto leaves each support image out once and takes the best; with --unknown, the "
    "one that tells unknown images best by the run's calibrations"
)


def predict(argv: list[str]) -> int:
    """The command."""
    made = command("predict", "Name images after a few labelled ones.")
    made.add_argument("run", type=str, nargs="?", default="strokes", help="a run's folder, or the learner that comes along")
    made.add_argument("--support", type=str, required=True, help="a folder with a folder of images for each class")
    made.add_argument(
        "--query",
        type=str,
        required=True,
        help="a folder of images, or one image; where its folders are called as those of the support, the accuracy is shown too",
    )
    made.add_argument("--head", choices=(AUTO, *HEADS), default=AUTO, help=HEAD_HELP)
    made.add_argument("--unknown", action="store_true", help=f"say {UNKNOWN!r} of an image that seems to be of no class")
    made.add_argument(
        "--invert", action="store_true", help="invert the pictures: white on black where the run's are black on white"
    )
    made.add_argument("--most_uncertain", type=int | None, default=None, help="name so many images that are best labelled next")
    made.add_argument("--strict", action="store_true", help="answer nothing where one image cannot be read")
    made.add_argument("--json", action="store_true", help="print one JSON record a line")
    options = read(made, argv)
    learner, preprocessing, _ = ready_to_predict(options.run)
    calibrated = calibrations(run_folder(options.run))
    if options.unknown and not calibrated:
        raise UnsupportedError(
            "--unknown", expected="a run with calibration.json", got=f"{options.run!r} without one", do="Train it again."
        )
    if options.invert:
        preprocessing = replace(preprocessing, invert=not preprocessing.invert, ground=preprocessing.trained_ground)
    if options.most_uncertain is not None:
        whole("--most_uncertain", options.most_uncertain)
    files = files_of(options.query, IMAGES)
    names, shown_files, shown, y = read_support(Path(options.support), preprocessing)
    images, broken = read_files(files, preprocessing)
    if broken and (options.strict or not images):
        raise together(broken, f"--query {options.query}")
    asked = torch.stack(list(images.values()))
    warn_of_ground({"--support": shown, "--query": asked}, preprocessing, "Leave --invert out." if options.invert else INVERT)
    support = qs.Examples(preprocessing.apply(shown), y, ways=len(names))
    choice = _chosen(learner, support, options, calibrated)
    calibration = calibrated.get(choice.head)
    if options.unknown and calibration is None:
        raise _not_calibrated(choice, list(calibrated))
    predictor = choice.adapt(support)
    logits = predictor(preprocessing.apply(asked))
    if questioned(learner, len(y)):
        _warn_of_contradictions(contradicted(learner, support), shown_files, names)
    elif len(y) > JUDGED:
        print(f"quickstudy: {len(y)} support images: their labels are not questioned above {JUDGED}", file=sys.stderr)
    rows = [row | {"head": choice.head} for row in answers(list(images), names, logits, calibration, options.unknown)]
    labels = labels_of(list(images), Path(options.query), names)
    _print(rows, labels, options.json, _head_line(choice, calibration))
    if options.most_uncertain is not None:
        count = min(options.most_uncertain, len(rows))
        for place in predictor.most_uncertain(preprocessing.apply(asked), count).tolist():
            print(f"label next: {printable(rows[place]['file'])}", file=sys.stderr if options.json else sys.stdout)
    for error in broken:
        print(printable(f"quickstudy predict: {error}"), file=sys.stderr)
    if broken:
        print(f"{len(broken)} of {len(files)} images could not be read; the others are answered", file=sys.stderr)
    return 1 if broken else 0


def _warn_of_contradictions(found: list[Contradiction], files: list[Path], names: list[str]) -> None:
    """Say on stderr which images of the support may be in the wrong folder."""
    for one in found:
        path, own, nearest = printable(str(files[one.index])), printable(names[one.label]), printable(names[one.nearest])
        said = f"the others of {own!r} contradict it, and speak for {nearest!r}. Is it in the right folder?"
        print(f"quickstudy: warning: {path}: {said}", file=sys.stderr)


def answers(
    files: list[Path], names: list[str], logits: Tensor, calibration: Calibration | None, rejects: bool
) -> list[dict[str, Any]]:
    """File, predicted class, and the probability of the nearest; with `rejects` also the nearest class, since the predicted one
    is "unknown" for images that the calibration rejects.
    """
    probability = logits.softmax(-1) if calibration is None else calibration.probabilities(logits)
    unknown = calibration.is_unknown(logits) if calibration is not None and rejects else torch.zeros(len(files), dtype=torch.bool)
    rows = []
    for path, row, rejected in zip(files, probability, unknown.tolist(), strict=True):
        best = int(row.argmax())
        found = {"file": str(path), "class": UNKNOWN if rejected else names[best], "probability": round(float(row[best]), 7)}
        rows.append(found | ({"nearest": names[best]} if rejects else {}))
    return rows


def accuracy(rows: list[dict[str, Any]], labels: list[str | None]) -> str | None:
    """A line on how many of the labelled images are named right; None where none is labelled."""
    told = [(row["class"], label) for row, label in zip(rows, labels, strict=True) if label is not None]
    if not told:
        return None
    right, unknown = sum(found == label for found, label in told), sum(found == UNKNOWN for found, _ in told)
    more = f"; {unknown} called {UNKNOWN}" if unknown else ""
    return f"accuracy {100 * right / len(told):.1f} %: {right} of the {len(told)} images in folders of a class{more}"


def _chosen(learner: Learner, support: Examples, options: Any, calibrated: dict[str, Calibration]) -> HeadChoice:
    """The head: by the support, or with --unknown the one that tells unknown images best."""
    if not options.unknown:
        return choose_head(learner, support, options.head)
    best = max(calibrated, key=lambda head: calibrated[head].auroc)
    choice = choose_head(learner, support, options.head, [best])
    why = "of the run's calibrations, it tells unknown images best"
    return replace(choice, why=why) if options.head == AUTO and choice.head == best else choice


def _not_calibrated(choice: HeadChoice, calibrated: list[str]) -> UnsupportedError:
    return UnsupportedError(
        "--unknown",
        expected=f"a calibration of the run for the head that answers, {choice.head} ({choice.why})",
        got=f"calibrations for {', '.join(calibrated)}",
        do=f"Add --head {calibrated[0]}, or leave --unknown out.",
    )


def _head_line(choice: HeadChoice, calibration: Calibration | None) -> str:
    return f"head: {choice}" + ("" if calibration else "; without a calibration: probabilities are its softmax")


def _print(rows: list[dict[str, Any]], labels: list[str | None], as_json: bool, head: str) -> None:
    """The rows and the head on stdout; the accuracy is the last line. Beside JSON, for programs, the accuracy is on stderr."""
    if as_json:
        for row, label in zip(rows, labels, strict=True):
            print(json.dumps(row | ({} if label is None else {"label": label})))
    else:
        _print_table(rows)
        print(head)
    if (line := accuracy(rows, labels)) is not None:
        print(line, file=sys.stderr if as_json else sys.stdout)


def _print_table(rows: list[dict[str, Any]]) -> None:
    width = max(len(printable(row["file"])) for row in rows)
    for row in rows:
        name = printable(row["class"])
        if row["class"] == UNKNOWN and "nearest" in row:
            name += f" (nearest: {printable(row['nearest'])})"
        print(f"{printable(row['file']):<{width}}  {name}  {row['probability']:.3f}")
