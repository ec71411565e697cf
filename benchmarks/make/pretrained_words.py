"""The learner of recordings that comes along: how it reads them, its calibrations, and its scores on digits that people said.

python -m benchmarks.make.pretrained_words --learner FOLDER --data FOLDER --cache FOLDER

--learner is what `python -m benchmarks.studies.spoken_words --save FOLDER` wrote of seed 0: Prototypical on `Cepstra` and
`WordConv`, meta-trained on words that espeak-ng spoke. Its heads are calibrated on drawn validation words. --data is the folder
with fsdd/recordings.zip; on it the learner is scored with speakers of the query that the support does not have, beside nearest
centroids that learned nothing.
"""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import nn

import quickstudy as qs
from benchmarks.studies.spoken_words import QUERIES, RATE, WORDS, fsdd, recordings
from quickstudy.artifacts.store import PRETRAINED, weights_hash
from quickstudy.domains.audio.encoders import Cepstra, LogMel
from quickstudy.evaluation.head_choice import OWN
from quickstudy.files import write_json

NAME = "words"
COMMAND = "python -m benchmarks.make.pretrained_words --learner FOLDER --data FOLDER --cache FOLDER"
TRAINED_ON = "600 words of random letters in 81 languages, spoken by 16 voices of espeak-ng; no recording of a person"
HEADS, SHOTS, EPISODES, CALIBRATION = (OWN, "ridge", "logistic"), (1, 5), 600, 400


def main() -> None:
    """The command."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    for name in ("learner", "data", "cache"):
        made.add_argument(f"--{name}", type=Path, required=True)
    options = made.parse_args()
    torch.set_num_threads(1)
    learner, folder = qs.load(options.learner), PRETRAINED / NAME
    learner.save(folder / "learner")
    drawn = qs.tasks.SpokenWords(ways=5, queries=QUERIES, rate=RATE, cache=options.cache, progress=False, **WORDS)
    reads: Any = drawn.preprocessing
    reads.save(folder)
    for head in HEADS:
        found = qs.calibrate(learner, drawn.validation.with_(shots=5), episodes=CALIBRATION, head=head)
        print(head, found, flush=True)
        found.save(folder)

    heard = qs.tasks.across(fsdd(recordings(options.data, options.cache / "fsdd"), rate=RATE), "speaker", support=3)
    controls = {"log-mel": LogMel(RATE), "cepstra": Cepstra(RATE)}
    learners = {NAME: learner} | {
        f"nearest centroid of {name}": qs.NearestCentroid(nn.Sequential(frames, nn.Flatten()))
        for name, frames in controls.items()
    }
    rows: list[dict[str, Any]] = []
    for shots in SHOTS:
        for name, one in learners.items():
            result = qs.evaluate(one, heard.with_(shots=shots), EPISODES, executor="loop")
            row = {"tasks": "FSDD, digits by new speakers", "learner": name, "ways": 5, "shots": shots, "queries": QUERIES}
            rows.append(row | {"episodes": EPISODES, "seed": 0, "accuracy": result.mean, "ci95": result.ci95})
            print(shots, result, flush=True)
    record = {"trained_on": TRAINED_ON, "of": weights_hash(folder / "learner"), "scores": rows}
    write_json(folder / "scores.json", {**record, "command": COMMAND, "date": date.today().isoformat()}, indent=1)


if __name__ == "__main__":
    main()
