"""Words in a stream: three digits, five recordings of each, to be found in an hour of digits, drawn words, noise and silence.

    python -m benchmarks.studies.spotting --data FOLDER --cache FOLDER
    python -m benchmarks.studies.spotting --table                           the table from the JSON

--data is the folder with fsdd/recordings.zip; the words that espeak-ng speaks are kept in --cache.

Meta-training is on drawn words alone, of languages without English. A draw takes three of the ten digits, and six speakers in
pairs: two give the support, two speak in the stream on which the threshold is chosen (recall 0.9), two in the stream that is
scored. Where no threshold finds as many, every spot is accepted, and the row says in how many draws. None of the words are
the other seven digits, by the same speakers, and drawn words of languages and voices that meta-training did not hear. All rows
hear the same windows; the score of a window is its energy. The control has no training: the centroid of log-mel frames.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from random import Random

import torch
from torch import Tensor, nn

import quickstudy as qs
from benchmarks.hardware import hardware
from benchmarks.studies.speaker_ctc import RATE, recordings
from benchmarks.studies.study import Result, cell, command, interval, read, write
from quickstudy.domains.audio.encoders import LogMel
from quickstudy.domains.audio.spotting import Stream, accepts, make_stream, spot, threshold_for
from quickstudy.domains.audio.words.alphabets import ALPHABETS
from quickstudy.errors import ArgumentError

RESULTS = Path(__file__).resolve().parent / "spotting.json"
WAVEFORM = qs.tasks.Waveform(rate=RATE, seconds=0.6)
Heard = tuple[Tensor, list[str], list[str]]  # recordings, their digits and their speakers
WORDS, SHOTS, RECALL, HOP = 3, 5, 0.9, 0.1
TRAINING, LENGTH = 600.0, 3600.0  # seconds of training, and of a stream, at --budget 1
SIZES = {"classes": (400, 50, 100), "voices": (20, 6, 10), "languages": sorted(set(ALPHABETS) - {"en-gb"})}


def drawn_words(cache: Path) -> qs.tasks.TaskFamily:
    """The tasks of meta-training, and what is none of the words."""
    return qs.tasks.SpokenWords(ways=5, shots=1, queries=3, rate=RATE, seconds=WAVEFORM.seconds, cache=cache, **SIZES)


def network() -> nn.Module:
    """Log-mel frames and convolutions, (examples, samples) -> (examples, features)."""
    widths, layers = (40, 64, 64, 128), list[nn.Module]()
    for inputs, outputs in pairwise(widths):
        layers += [nn.Conv1d(inputs, outputs, 9, 2, 4), nn.GroupNorm(4, outputs), nn.ReLU()]
    return nn.Sequential(LogMel(RATE), *layers, nn.AdaptiveAvgPool1d(3), nn.Flatten())


def stream_of(heard: Heard, own: Sequence[str], words: Sequence[str], other: Tensor, seconds: float, seed: int) -> Stream:
    """Digits by the speakers `own`, among them the words, and as many of `other`, each once before any comes again."""
    x, digits, speakers = heard
    generator, random = torch.Generator().manual_seed(seed), Random(seed)
    rows = [row for row, speaker in enumerate(speakers) if speaker in own]
    filler = other[torch.tensor(random.sample(range(len(other)), min(len(rows), len(other))))]
    labels = [words.index(digits[row]) if digits[row] in words else -1 for row in rows] + [-1] * len(filler)
    every = torch.cat([x[torch.tensor(rows)], torch.nn.functional.pad(filler, (0, x.shape[1] - filler.shape[1]))])
    return make_stream(every, torch.tensor(labels), seconds=seconds, rate=RATE, generator=generator)


def draw(learners: dict[str, qs.Learner], heard: Heard, words: dict[str, Tensor], seconds: float, seed: int) -> Result:
    """False accepts an hour of each learner, for words and speakers of its own."""
    x, digits, speakers = heard
    random = Random(seed)
    chosen, names = random.sample(sorted(set(digits)), WORDS), random.sample(sorted(set(speakers)), 6)
    pool = {word: [r for r, d in enumerate(digits) if d == word and speakers[r] in names[:2]] for word in chosen}
    rows = [row for word in chosen for row in random.sample(pool[word], SHOTS)]
    read = torch.stack([WAVEFORM.of_samples(x[row].float() / 2**15, RATE) for row in rows])
    support = qs.Examples(read, torch.arange(WORDS).repeat_interleave(SHOTS))
    streams = {
        part: stream_of(heard, own, chosen, words[part], seconds, seed)
        for part, own in (("validation", names[2:4]), ("test", names[4:]))
    }
    found: Result = {"words": chosen, "speakers": names, "rows": {}}
    for name, learner in learners.items():
        predictor = learner.adapt(support)
        spots = {part: spot(predictor, stream, WAVEFORM, hop=HOP) for part, stream in streams.items()}
        reached = True
        try:
            threshold = threshold_for(spots["validation"], streams["validation"], RECALL)
        except ArgumentError:  # so many are not found at any threshold
            threshold, reached = float(spots["test"].scores.min()), False
        counted = accepts(spots["test"], streams["test"], threshold)
        found["rows"][name] = {"recall": counted.recall, "false_accepts": counted.false_accepts, "words": counted.words}
        found["rows"][name]["reached"] = reached
    return found


def page() -> str:
    """Recall and false accepts an hour, over draws of words and speakers."""
    draws = read(RESULTS)["draws"]
    lines = ["| | recall on the test stream | false accepts an hour | recall reached in validation |", "|---|---|---|---|"]
    for name in draws[0]["rows"]:
        rows = [one["rows"][name] for one in draws]
        recall, accepted = (interval([row[score] for row in rows]) for score in ("recall", "false_accepts"))
        reached = sum(row["reached"] for row in rows)
        lines.append(f"| {name} | {cell(recall)} | {cell(accepted, '.0f')} | {reached} of {len(rows)} |")
    return "\n".join(lines)


def main() -> None:
    """Meta-train once, make the draws, and print the page."""
    made = command(__doc__, seeds=None)
    made.add_argument("--data", type=Path, help="the folder with fsdd/")
    made.add_argument("--cache", type=Path, default=Path("runs"), help="where recordings and drawn words are kept")
    made.add_argument("--draws", type=int, default=5)
    options: argparse.Namespace = made.parse_args()
    torch.set_num_threads(1)
    if not options.table:
        heard = recordings(options.data, options.cache)
        tasks = drawn_words(options.cache)
        torch.manual_seed(0)
        begun, trained = time.time(), qs.Prototypical(network())
        how = {"seconds": TRAINING * options.budget, "validate_every": 200, "executor": "loop"}
        qs.meta_train(trained, tasks, steps=10**6, tasks_per_step=4, progress=False, **how)
        accuracy = qs.evaluate(trained, tasks.test, episodes=300, executor="loop", progress=False).mean
        plain = qs.Prototypical(nn.Sequential(LogMel(RATE), nn.Flatten()))
        learners = {"centroid of log-mel frames": plain, "meta-trained on drawn words": trained}
        words = {part: tasks.parts[part].x for part in ("validation", "test")}
        given = (learners, heard, words, LENGTH * options.budget)
        draws = [draw(*given, seed) for seed in range(options.draws)]
        about = {"accuracy_on_drawn_test_words": accuracy, "seconds": time.time() - begun, "budget": options.budget}
        write(RESULTS, {"draws": draws, **about, "hardware": hardware(), "torch": torch.__version__})
    print(page())


if __name__ == "__main__":
    main()
