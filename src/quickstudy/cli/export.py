"""quickstudy export RUN --support FOLDER: the learner of a run, adapted to a folder of images, as a standalone file."""

from __future__ import annotations

from pathlib import Path

import quickstudy as qs
from quickstudy.artifacts.alone import write_beside
from quickstudy.artifacts.export import SUFFIXES, export, need
from quickstudy.artifacts.run import ready_to_predict
from quickstudy.artifacts.store import run_folder
from quickstudy.cli.image_folders import ImageReader
from quickstudy.cli.options import command, read
from quickstudy.evaluation.calibration import calibrations
from quickstudy.evaluation.head_choice import AUTO, HEADS, choose_head

HEAD_HELP = "how the learner's features are read: auto leaves each support image out once and takes the best"


def export_run(argv: list[str]) -> int:
    """The command `export`."""
    made = command("export", "Adapt to labelled images and write a file that runs alone.")
    made.add_argument("run", type=str, nargs="?", default="strokes", help="a run's folder, or the learner that comes along")
    made.add_argument("--support", type=str, required=True, help="a folder with a folder of images for each class")
    made.add_argument("--head", choices=(AUTO, *HEADS), default=AUTO, help=HEAD_HELP)
    made.add_argument("--format", choices=list(SUFFIXES), default="torch.export", help="what to write")
    made.add_argument("--out", type=str, default=None, help="the file; predictor.pt2 or predictor.onnx where nothing is said")
    options = read(made, argv)
    if options.format == "onnx":
        need("onnx", "onnxscript", "onnxruntime")
    learner, preprocessing = ready_to_predict(options.run, "images")
    reader = ImageReader(preprocessing, "Invert the pictures if only black and white are exchanged (`invert=`).")
    shown = reader.support(Path(options.support))
    support = qs.Examples(preprocessing.apply(shown.x), shown.y, ways=len(shown.names))
    out = Path(options.out or f"predictor{SUFFIXES[options.format]}")
    x = support.x if len(support) > 1 else support.x.expand(2, *support.x.shape[1:])
    choice = choose_head(learner, support, options.head)
    calibration = calibrations(run_folder(options.run)).get(choice.head)
    difference = export(choice.adapt(support), out, x, options.format)
    settings = {
        "input": ["examples", *x.shape[1:]],
        "classes": shown.names,
        "head": choice.head,
        "preprocessing": preprocessing.to_dict(),
        "temperature": 1.0 if calibration is None else calibration.temperature,
        "unknown": None if calibration is None else {"score": calibration.score, "threshold": calibration.threshold},
    }
    beside, program = write_beside(out, settings)
    print(f"{out}: answers as the predictor does, to {difference:.1e} of its largest logit (run again from the file)")
    print(f"head: {choice}" + ("" if calibration else "; the run has no calibration for it: no temperature, no threshold"))
    print(f"{beside}: class names, and how an image becomes its input and a logit a probability")
    print(f"{program}: names images by both, without quickstudy: python {program} IMAGE ...")
    return 0
