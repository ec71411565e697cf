"""quickstudy predict: learn from a few labelled images, texts or recordings, and name others.

exit code   0 all are answered, 1 some could not be read and the others are answered, 2 no answer
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
from quickstudy.artifacts.store import PRETRAINED, run_folder
from quickstudy.cli.image_folders import ImageReader
from quickstudy.cli.options import command, read, whole
from quickstudy.cli.reader import Query, Reader, Record, Support
from quickstudy.cli.recording_folders import RecordingReader
from quickstudy.cli.terminal import printable
from quickstudy.cli.text_files import TextReader, is_texts
from quickstudy.domains.audio.encoder import EncodedWaveform
from quickstudy.domains.audio.waveform import Waveform
from quickstudy.domains.text.encoder import Encoded, TextEncoder
from quickstudy.domains.text.transformers_encoder import TransformersEncoder
from quickstudy.episode import Examples
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.evaluation.calibration import Calibration, calibrations
from quickstudy.evaluation.head_choice import AUTO, HEADS, HeadChoice, choose_head
from quickstudy.learners.contradictions import JUDGED, TRANSDUCTIVE, Contradiction, contradicted, questioned
from quickstudy.learners.learner import Learner
from quickstudy.learners.predictor import Predictor
from quickstudy.tasks.distribution.interface import Preprocessing
from quickstudy.tasks.sources.broken import together
from quickstudy.tasks.sources.folders import kind_of_folder

UNKNOWN = "unknown"
AT_ONCE = 1024  # examples that are answered together
IMAGES, BYTES, SOUNDS = "strokes", "intents", "words"  # the learners that come along
INVERT = "If only black and white are exchanged, add --invert (in Python: `invert=` of a Preprocessing)."
HEAD_HELP = (
    "how the learner's features are read: auto leaves each support example out once and takes the best; with --unknown, the "
    "one that tells unknown examples best by the run's calibrations"
)
SUPPORT_HELP = (
    "a folder with a folder of images, of recordings or of .txt files for each class; or labelled texts: a CSV, JSON lines"
)
QUERY_HELP = (
    "a folder of images, recordings or .txt files, or one of them; a CSV, JSON lines, or a .txt with a text a line. Where there "
    "are labels, by a column or by folders called as those of the support, the accuracy is shown too"
)
RUN_HELP = "a run's folder, or a learner that comes along; where nothing is said, the one for the support's kind"


def predict(argv: list[str]) -> int:
    """The command."""
    made = command("predict", "Name images, texts or recordings after a few labelled ones.")
    made.add_argument("run", type=str | None, nargs="?", default=None, help=RUN_HELP)
    made.add_argument("--support", type=str, required=True, help=SUPPORT_HELP)
    made.add_argument("--query", type=str, required=True, help=QUERY_HELP)
    made.add_argument("--text", type=str | None, default=None, help="the column or field with the texts: text")
    made.add_argument("--label", type=str | None, default=None, help="the one with their labels: label")
    made.add_argument(
        "--encoder", type=str | None, default=None, help="the folder of the encoder that a run on its features needs"
    )
    made.add_argument("--head", choices=(AUTO, *HEADS), default=AUTO, help=HEAD_HELP)
    made.add_argument("--unknown", action="store_true", help=f"say {UNKNOWN!r} of what seems to be of no class")
    made.add_argument(
        "--invert", action="store_true", help="invert the pictures: white on black where the run's are black on white"
    )
    made.add_argument("--most_uncertain", type=int | None, default=None, help="name so many that are best labelled next")
    made.add_argument("--strict", action="store_true", help="answer nothing where one of the queries cannot be read")
    made.add_argument("--json", action="store_true", help="print one JSON record a line")
    options = read(made, argv)
    encoder = None if options.encoder is None else TransformersEncoder(options.encoder)
    run = options.run or _that_comes_along(Path(options.support), encoder)
    learner, preprocessing = ready_to_predict(run, "images", "texts", "recordings")
    reader = _reader(preprocessing, options, encoder)
    calibrated = calibrations(run_folder(run))
    if options.unknown and not calibrated:
        raise UnsupportedError(
            "--unknown", expected="a run with calibration.json", got=f"{run!r} without one", do="Train it again."
        )
    if options.most_uncertain is not None:
        whole("--most_uncertain", options.most_uncertain)
    shown = reader.support(Path(options.support))
    asked = reader.query(Path(options.query), shown.names)
    if asked.broken and options.strict:
        raise together(asked.broken, f"--query {options.query}")
    support = qs.Examples(reader.preprocessing.apply(shown.x), shown.y, ways=len(shown.names))
    choice = _chosen(learner, support, options, calibrated)
    calibration = calibrated.get(choice.head)
    if options.unknown and calibration is None:
        raise _not_calibrated(choice, list(calibrated))
    predictor = choice.adapt(support)
    logits = _answered(predictor, asked.x, reader.preprocessing)
    _question(learner, support, shown, reader)
    rows = [row | {"head": choice.head} for row in answers(asked.records, shown.names, logits, calibration, options.unknown)]
    _print(rows, asked, reader, options.json, _head_line(choice, calibration))
    if options.most_uncertain is not None:
        order = predictor.target.uncertainty(logits).cpu().argsort(descending=True, stable=True)
        for place in order[: options.most_uncertain].tolist():
            print(f"label next: {printable(reader.shown(rows[place]))}", file=sys.stderr if options.json else sys.stdout)
    for error in asked.broken:
        print(printable(f"quickstudy predict: {error}"), file=sys.stderr)
    if asked.broken:
        every = len(asked.broken) + len(rows)
        print(f"{len(asked.broken)} of {every} {reader.kind} could not be read; the others are answered", file=sys.stderr)
    return 1 if asked.broken else 0


def _that_comes_along(support: Path, encoder: TextEncoder | None) -> str:
    """The learner that comes along for this kind of support.

    Raises:
        UnsupportedError: none was trained on the features of this encoder.
        DataError: a folder of neither images, recordings nor texts.
    """
    found_kind = kind_of_folder(support, None).name if support.is_dir() and encoder is None else ""
    if found_kind == "recordings":
        return SOUNDS
    if encoder is None and not is_texts(support) and found_kind != "texts":
        return IMAGES
    if encoder is None:
        return BYTES
    for folder in sorted(PRETRAINED.iterdir()):
        found = qs.Run.open(folder).preprocessing if (folder / "learner").is_dir() else None
        if isinstance(found, Encoded) and found.key == encoder.key:
            return folder.name
    raise UnsupportedError(
        "--encoder",
        expected="an encoder that a learner that comes along was trained on: see `quickstudy pretrained`",
        got=f"one with the key {encoder.key}",
        do="Name a run on its features before the options, or leave --encoder out: `intents` reads bytes.",
    )


def _reader(preprocessing: Any, options: Any, encoder: TextEncoder | None) -> Reader:
    """How the run reads what it is given.

    Raises:
        ArgumentError: options that are for another kind of data.
        UnsupportedError: a run on what a tokenizer makes of texts, or on features of recordings.
    """
    images, recordings = (isinstance(preprocessing, kind) for kind in (qs.tasks.Preprocessing, Waveform | EncodedWaveform))
    on = "images" if images else "recordings" if recordings else "texts"
    for name, given in {"text": options.text, "label": options.label, "encoder": options.encoder}.items():
        if on != "texts" and given is not None:
            raise ArgumentError(f"--{name}", expected="a run that was trained on texts", got=f"one on {on}", do="Leave it out.")
    if images:
        if options.invert:
            preprocessing = replace(preprocessing, invert=not preprocessing.invert, ground=preprocessing.trained_ground)
        return ImageReader(preprocessing, "Leave --invert out." if options.invert else INVERT)
    if options.invert:
        raise ArgumentError("--invert", expected="a run that was trained on images", got=f"one on {on}", do="Leave it out.")
    if isinstance(preprocessing, Waveform):
        return RecordingReader(preprocessing)
    if not isinstance(preprocessing, qs.tasks.Bytes | Encoded):
        source, got = ("recordings", "features of them") if recordings else ("texts", "pieces of them")
        expected = "a run on samples" if recordings else "a run on bytes or on features of texts"
        do = f"Use qs.load in Python, with examples from `from_{source}`."
        raise UnsupportedError("RUN", expected=expected, got=f"one on {got}", do=do)
    return TextReader(preprocessing, encoder, options.text or "text", options.label or "label")


def _answered(predictor: Predictor, x: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Logits (examples, ways). Some examples at a time, unless the learner's answer to one depends on the others."""
    together = predictor.learner.normalisation == TRANSDUCTIVE
    parts = [x] if together else x.split(AT_ONCE)
    return torch.cat([predictor(preprocessing.apply(part)) for part in parts])


def _question(learner: Learner, support: Examples, shown: Support, reader: Reader) -> None:
    """Say on stderr which examples of the support may be labelled wrong."""
    if questioned(learner, len(support)):
        for one in contradicted(learner, support):
            _warn_of(one, shown, reader)
    elif len(support) > JUDGED:
        said = f"{len(support)} support {reader.kind}: their labels are not questioned above {JUDGED}"
        print(f"quickstudy: {said}", file=sys.stderr)


def _warn_of(one: Contradiction, shown: Support, reader: Reader) -> None:
    called, own, nearest = (
        printable(text) for text in (reader.shown(shown.records[one.index]), shown.names[one.label], shown.names[one.nearest])
    )
    said = f"the others of {own!r} contradict it, and speak for {nearest!r}. {reader.mislabelled}"
    print(f"quickstudy: warning: {called}: {said}", file=sys.stderr)


def answers(
    records: list[Record], names: list[str], logits: Tensor, calibration: Calibration | None, rejects: bool
) -> list[Record]:
    """What each example is called, the predicted class, and the probability of the nearest; with `rejects` also the nearest
    class, since the predicted one is "unknown" for examples that the calibration rejects.
    """
    probability = logits.softmax(-1) if calibration is None else calibration.probabilities(logits)
    unknown = (
        calibration.is_unknown(logits) if calibration is not None and rejects else torch.zeros(len(records), dtype=torch.bool)
    )
    rows = []
    for record, row, rejected in zip(records, probability, unknown.tolist(), strict=True):
        best = int(row.argmax())
        found = {**record, "class": UNKNOWN if rejected else names[best], "probability": round(float(row[best]), 7)}
        rows.append(found | ({"nearest": names[best]} if rejects else {}))
    return rows


def accuracy(rows: list[Record], labels: list[str | None], labelled: str) -> str | None:
    """A line on how many of the labelled examples are named right; None where none is labelled."""
    told = [(row["class"], label) for row, label in zip(rows, labels, strict=True) if label is not None]
    if not told:
        return None
    right, unknown = sum(found == label for found, label in told), sum(found == UNKNOWN for found, _ in told)
    more = f"; {unknown} called {UNKNOWN}" if unknown else ""
    return f"accuracy {100 * right / len(told):.1f} %: {right} of the {len(told)} {labelled}{more}"


def _chosen(learner: Learner, support: Examples, options: Any, calibrated: dict[str, Calibration]) -> HeadChoice:
    """The head: by the support, or with --unknown the one that tells what is unknown best."""
    if not options.unknown:
        return choose_head(learner, support, options.head)
    best = max(calibrated, key=lambda head: calibrated[head].auroc)
    choice = choose_head(learner, support, options.head, [best])
    why = "of the run's calibrations, it tells what is unknown best"
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


def _print(rows: list[Record], asked: Query, reader: Reader, as_json: bool, head: str) -> None:
    """The rows and the head on stdout; the accuracy is the last line. Beside JSON, for programs, the accuracy is on stderr."""
    if as_json:
        for row, label in zip(rows, asked.labels, strict=True):
            print(json.dumps(row | ({} if label is None else {"label": label})))
    else:
        _print_table(rows, reader)
        print(head)
    if (line := accuracy(rows, asked.labels, reader.labelled)) is not None:
        print(line, file=sys.stderr if as_json else sys.stdout)


def _print_table(rows: list[Record], reader: Reader) -> None:
    called = [printable(reader.shown(row)) for row in rows]
    width = max(map(len, called))
    for one, row in zip(called, rows, strict=True):
        name = printable(row["class"])
        if row["class"] == UNKNOWN and "nearest" in row:
            name += f" (nearest: {printable(row['nearest'])})"
        print(f"{one:<{width}}  {name}  {row['probability']:.3f}")
