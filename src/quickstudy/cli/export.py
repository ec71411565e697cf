"""quickstudy export RUN --support FOLDER: the learner of a run, adapted to a folder of images, as a standalone file."""

from __future__ import annotations

from pathlib import Path

from quickstudy.artifacts.export import SUFFIXES, export
from quickstudy.artifacts.run import ready_to_predict
from quickstudy.cli.image_folders import read_support
from quickstudy.cli.options import command, read
from quickstudy.files import write_json


def export_run(argv: list[str]) -> int:
    """The command `export`."""
    made = command("export", "Adapt to labelled images and write a file that runs alone.")
    made.add_argument("run", type=str, nargs="?", default="strokes", help="a run's folder, or the learner that comes along")
    made.add_argument("--support", type=str, required=True, help="a folder with a folder of images for each class")
    made.add_argument("--format", choices=list(SUFFIXES), default="torch.export", help="what to write")
    made.add_argument("--out", type=str, default=None, help="the file; predictor.pt2 or predictor.onnx where nothing is said")
    options = read(made, argv)
    learner, preprocessing, calibration = ready_to_predict(options.run)
    names, support = read_support(Path(options.support), preprocessing)
    out = Path(options.out or f"predictor{SUFFIXES[options.format]}")
    x = support.x if len(support) > 1 else support.x.expand(2, *support.x.shape[1:])
    difference = export(learner.adapt(support), out, x, options.format)
    reads = {
        "input": ["examples", *x.shape[1:]],
        "classes": names,
        "preprocessing": preprocessing.to_dict(),
        "temperature": None if calibration is None else calibration.temperature,
    }
    beside = out.with_name(out.name + ".json")
    write_json(beside, reads, indent=1)
    print(f"{out}: answers as the predictor does, to {difference:.1e} of its largest logit (run again from the file)")
    print(f"{beside}: class names, and how an image becomes its input")
    return 0
