"""Recognition adapted to a speaker: strings of spoken digits, CTC, five utterances of a speaker who was never heard.

    python -m benchmarks.studies.speaker_ctc --data FOLDER                  all folds
    python -m benchmarks.studies.speaker_ctc --table                        the table from the JSON

--data is the folder with fsdd/recordings.zip (Jackson, Free Spoken Digit Dataset, 2016: ten digits by six speakers, fifty times).

A fold tests on one speaker, selects on the next and trains on the other four. A string is 3 to 5 recordings with pauses of 0.05
to 0.3 s; five strings are support, ten others query, and no recording is in two strings of an episode. The score is the
character error rate. All rows have one network, 100 episodes a fold, the same for every row; differences are paired over them.

    joint                    trained on the strings of all training speakers, as long as the rows of FOMAML in all; it does not
                             see the support
    joint, fine-tuned        the same, and then steps on the support; rate and number of steps chosen on the validation speaker
    FOMAML, from joint       meta-trained on from half-way; rate and number of steps are those of its inner loop
    FOMAML, not adapted      the weights of the last row without a step

The unit of an interval is the episode of a fold's one speaker; the spread over the six folds is that over speakers.
"""

from __future__ import annotations

import argparse
import copy
import time
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

import quickstudy as qs
from benchmarks.hardware import hardware
from benchmarks.studies.study import Result, cell, command, interval, read, write
from quickstudy.domains.audio.encoders import LogMel
from quickstudy.domains.audio.waveform import in_16_bits

RESULTS = Path(__file__).resolve().parent / "speaker_ctc.json"
RATE, SECONDS = 8000, 4.0
EPISODES, CHOOSING, BATCH = 100, 20, 4
JOINT, META = 480.0, 480.0  # seconds of training, at --budget 1
RATES, STEPS = (0.03, 0.1, 0.3), (5, 20)
INNER_RATE, INNER_STEPS, CLIP = 0.1, 5, 1.0


def recordings(data: Path, keep: Path) -> tuple[Tensor, list[str], list[str]]:
    """FSDD as int16 (recordings, samples), the digits and the speakers."""
    folder = keep / "fsdd"
    if not folder.is_dir():
        with zipfile.ZipFile(data / "fsdd" / "recordings.zip") as archive:
            archive.extractall(folder)
    reads, files = qs.tasks.Waveform(rate=RATE), sorted(folder.rglob("*.wav"))
    x = torch.stack([in_16_bits(reads.read(file)) for file in files])
    digits, speakers, _ = zip(*(file.stem.split("_") for file in files), strict=True)
    return x, list(digits), list(speakers)


class Block(nn.Module):
    """relu(norm(conv(h))), and h beside it where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(inputs, outputs, 9, stride, 4), nn.GroupNorm(4, outputs)
        self.beside = inputs == outputs and stride == 1

    def forward(self, h: Tensor) -> Tensor:
        """(examples, inputs, frames) -> (examples, outputs, frames / stride)."""
        z = torch.relu(self.norm(self.conv(h)))
        return z + h if self.beside else z


class Listener(nn.Module):
    """Log-mel frames, convolutions, and for each frame of 80 ms the logits of the blank and of the digits."""

    def __init__(self, outputs: int = 11, width: int = 64):
        super().__init__()
        self.hears = LogMel(RATE)
        self.blocks = nn.Sequential(Block(40, width, 2), Block(width, width, 2), Block(width, width, 2), Block(width, width, 1))
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(examples, samples) -> (examples, frames, outputs)."""
        return self.head(self.blocks(self.hears(x) / 4 + 2).transpose(-1, -2))


def score(learner: qs.Learner, tasks: qs.tasks.TaskDistribution, episodes: int, seed: int) -> list[float]:
    """The character error rate of each episode."""
    return qs.evaluate(learner, tasks, episodes=episodes, seed=seed, executor="loop", progress=False).per_episode


def fine_tuned(network: nn.Module, rate: float, steps: int) -> qs.Learner:
    """The network, and steps on the support."""
    return qs.FOMAML(copy.deepcopy(network), inner_lr=rate, inner_steps=steps, clip=CLIP)


def fold(x: Tensor, digits: list[str], speakers: list[str], number: int, budget: float) -> Result:
    """All rows of one test speaker."""
    names = sorted(set(speakers))
    test, validation = names[number], names[(number + 1) % len(names)]
    split = {"train": [name for name in names if name not in (test, validation)], "validation": [validation], "test": [test]}
    tasks = qs.tasks.SpokenStrings(x, digits, speakers, rate=RATE, seconds=SECONDS, split=split)
    torch.manual_seed(number)
    network, begun = Listener(), time.time()
    options = {"tasks_per_step": BATCH, "steps": 10**6, "validation_episodes": CHOOSING, "seed": number}
    joint = qs.JointTraining(network, inner_steps=0)
    first = qs.meta_train(joint, tasks, seconds=JOINT * budget, validate_every=50, progress=False, **options)
    meta, longer = fine_tuned(network, INNER_RATE, INNER_STEPS), copy.deepcopy(joint)
    second, then = (
        qs.meta_train(learner, tasks, seconds=META * budget, validate_every=20, progress=False, **options)
        for learner in (longer, meta)
    )
    network = longer.network
    chosen = {
        (rate, steps): sum(score(fine_tuned(network, rate, steps), tasks.validation, CHOOSING, 1)) / CHOOSING
        for rate in RATES
        for steps in STEPS
    }
    rate, steps = min(chosen, key=chosen.__getitem__)
    rows = {
        "joint": fine_tuned(network, rate, 0),
        "joint, fine-tuned": fine_tuned(network, rate, steps),
        "FOMAML, not adapted": fine_tuned(meta.network, rate, 0),
        "FOMAML, from joint": meta,
    }
    return {
        "test": test,
        "validation": validation,
        "rates": {f"{r:g}, {s} steps": value for (r, s), value in chosen.items()},
        "chosen": [rate, steps],
        "steps": [len(one.history) for one in (first, second, then)],
        "seconds": time.time() - begun,
        "scores": {name: score(learner, tasks.test, EPISODES, 2) for name, learner in rows.items()},
    }


def page() -> str:
    """Character error rates in per cent: each fold, and over folds."""
    folds = list(read(RESULTS).get("folds", {}).values())
    if not folds:
        return "Not run.\n"
    rows = list(folds[0]["scores"])
    lines = [f"| | {' | '.join(one['test'] for one in folds)} | over speakers |", "|---" * (len(folds) + 2) + "|"]
    for row in rows:
        means = [[100 * value for value in one["scores"][row]] for one in folds]
        over = cell(interval([sum(one) / len(one) for one in means]), ".1f")
        lines.append(f"| {row} | {' | '.join(cell(interval(one), '.1f') for one in means)} | {over} |")
    for row in ("joint, fine-tuned", "FOMAML, from joint"):
        paired = [[100 * (a - b) for a, b in zip(one["scores"][row], one["scores"]["joint"], strict=True)] for one in folds]
        lines.append(f"| {row} - joint, paired | {' | '.join(cell(interval(one), '.1f', '+') for one in paired)} | |")
    paired = [
        [100 * (a - b) for a, b in zip(one["scores"]["FOMAML, from joint"], one["scores"]["joint, fine-tuned"], strict=True)]
        for one in folds
    ]
    lines.append(f"| FOMAML - fine-tuned, paired | {' | '.join(cell(interval(one), '.1f', '+') for one in paired)} | |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the folds that are missing, and print the page."""
    made = command(__doc__, seeds=None)
    made.add_argument("--data", type=Path, help="the folder with fsdd/")
    made.add_argument("--keep", type=Path, default=Path("runs"), help="where the recordings are unpacked")
    made.add_argument("--folds", type=int, nargs="*", default=list(range(6)))
    options: argparse.Namespace = made.parse_args()
    torch.set_num_threads(1)
    if not options.table:
        x, digits, speakers = recordings(options.data, options.keep)
        for number in options.folds:
            found = read(RESULTS)
            own = found.setdefault("folds", {})
            if str(number) in own and not options.force:
                continue
            own[str(number)] = fold(x, digits, speakers, number, options.budget)
            write(RESULTS, found | {"hardware": hardware(), "torch": torch.__version__, "budget": options.budget})
    print(page())


if __name__ == "__main__":
    main()
