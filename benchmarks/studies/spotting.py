"""Words in a stream: three digits, five recordings of each, to be found in digits, drawn words, noise and silence.

    python -m benchmarks.studies.spotting --data FOLDER --cache FOLDER --speech FOLDER
    python -m benchmarks.studies.spotting --table                           the table from the JSON

--data is the folder with fsdd/recordings.zip, --speech has the two ONNX files of `SpeechEmbedding`; the words that espeak-ng
speaks are kept in --cache. Nothing is trained here: a row is `words`, the learner that comes along, which never heard a person.

A draw takes three of the ten digits, and six speakers in pairs: two give the support, two speak in the stream on which the
threshold is chosen (recall 0.9), two in the stream that is scored. Where no threshold finds as many, every spot is accepted, and
the row says in how many draws. None of the words are the other seven digits, by the same speakers, and drawn words of languages
and voices that `words` did not hear. All rows hear the same windows; the score of a window is its energy.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch
from torch import Tensor, nn

import quickstudy as qs
from benchmarks.hardware import hardware
from benchmarks.studies.speaker_ctc import RATE, recordings
from benchmarks.studies.spoken_words import QUERIES
from benchmarks.studies.spoken_words import WORDS as SPOKEN
from benchmarks.studies.study import Result, cell, command, interval, read, write
from quickstudy.domains.audio.encoder import RecordingEncoder
from quickstudy.domains.audio.encoders import Cepstra, LogMel
from quickstudy.domains.audio.resample import resampled
from quickstudy.domains.audio.spotting import Stream, accepts, make_stream, spot, threshold_for
from quickstudy.errors import ArgumentError

RESULTS = Path(__file__).resolve().parent / "spotting.json"
WAVEFORM = qs.tasks.Waveform(rate=RATE, seconds=0.6)
Heard = tuple[Tensor, list[str], list[str]]  # recordings, their digits and their speakers
WORDS, SHOTS, RECALL, HOP = 3, 5, 0.9, 0.1
LENGTH = 3600.0  # seconds of a stream, at --budget 1


class Frozen(nn.Module):
    """Windows (examples, samples) at RATE -> the features of a frozen encoder."""

    def __init__(self, encoder: RecordingEncoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        """(examples, features)."""
        return self.encoder.encode(torch.stack([resampled(one, RATE, self.encoder.rate) for one in x]))


def learners(speech: str) -> dict[str, qs.Learner]:
    """The rows."""
    frozen = Frozen(qs.tasks.SpeechEmbedding(speech))
    plain = {"log-mel": LogMel(RATE), "cepstra": Cepstra(RATE)}
    found: dict[str, qs.Learner] = {
        f"centroid of {name}": qs.NearestCentroid(nn.Sequential(one, nn.Flatten())) for name, one in plain.items()
    }
    return found | {"words": qs.load("words"), "centroid of speech": qs.NearestCentroid(frozen), "speech, ridge": qs.R2D2(frozen)}


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
    found = read(RESULTS)
    draws = found.get("draws", [])
    if not draws:
        return "Not run.\n"
    lines = ["| | recall on the test stream | false accepts an hour | recall reached in validation |", "|---|---|---|---|"]
    for name in draws[0]["rows"]:
        rows = [one["rows"][name] for one in draws]
        recall, accepted = (interval([row[score] for row in rows]) for score in ("recall", "false_accepts"))
        reached = sum(row["reached"] for row in rows)
        lines.append(f"| {name} | {cell(recall)} | {cell(accepted, '.0f')} | {reached} of {len(rows)} |")
    lines += [
        "",
        f"Mean and 95 % interval over {len(draws)} draws of words and speakers; a stream of {found['stream'] / 60:.0f} minutes"
        f" for the threshold and another that is scored, with {draws[0]['rows']['words']['words']} words in the first draw's."
        f" {found['hardware']}, torch {found['torch']}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Make the draws, and print the page."""
    made = command(__doc__, seeds=None)
    made.add_argument("--data", type=Path, help="the folder with fsdd/")
    made.add_argument("--cache", type=Path, default=Path("runs"), help="where recordings and drawn words are kept")
    made.add_argument("--speech", help="the folder of melspectrogram.onnx and embedding_model.onnx")
    made.add_argument("--draws", type=int, default=3)
    options: argparse.Namespace = made.parse_args()
    torch.set_num_threads(1)
    if not options.table:
        began, seconds = time.process_time(), LENGTH * options.budget
        heard = recordings(options.data, options.cache)
        tasks = qs.tasks.SpokenWords(ways=5, queries=QUERIES, rate=RATE, cache=options.cache, progress=False, **SPOKEN)
        words = {part: tasks.parts[part].x for part in ("validation", "test")}
        draws = list[Result]()
        for seed in range(options.draws):
            draws.append(draw(learners(options.speech), heard, words, seconds, seed))
            about = {"stream": seconds, "cpu": time.process_time() - began, "hardware": hardware(), "torch": torch.__version__}
            write(RESULTS, {"draws": draws, **about})
    print(page())


if __name__ == "__main__":
    main()
