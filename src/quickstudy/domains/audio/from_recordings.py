"""from_recordings: labelled recordings as few-shot tasks, with what else is known of them: who speaks, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from torch import Tensor

from quickstudy.arguments import PositiveFloat, PositiveInt, checked
from quickstudy.calls import remembered
from quickstudy.domains.audio.encoder import EncodedWaveform, RecordingEncoder, encoded_recordings
from quickstudy.domains.audio.kind import RECORDINGS
from quickstudy.errors import ArgumentError, ShapeError
from quickstudy.options import hands_on
from quickstudy.tasks.distribution.class_names import as_names
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.sources.broken import BrokenItems
from quickstudy.tasks.sources.kind import Items
from quickstudy.tasks.sources.options import Protocol, ProtocolOptions
from quickstudy.tasks.sources.source import family_of


@remembered
@checked
@hands_on(ProtocolOptions, Protocol)
def from_recordings(
    recordings: Any,
    labels: Any,
    *,
    rate: PositiveInt | None = None,
    seconds: PositiveFloat = 1.0,
    trim: bool = True,
    normalise: bool = True,
    encoder: RecordingEncoder | None = None,
    cache: str | Path | None = None,
    progress: bool = True,
    columns: Mapping[str, Any] | None = None,
    **options: Unpack[ProtocolOptions],
) -> TaskFamily[LabelledTasks]:
    """N-way K-shot tasks from labelled recordings: words, voices, machines, birds.

    Args:
        recordings: (N,) paths of files; or arrays (samples,) of any length, with their `rate`; or mappings
            {"array": (samples,), "sampling_rate": ...}.
        labels: (N,) of any kind. Each different label names a class.
        rate, seconds, trim, normalise: see `SourceOptions`.
        encoder: a frozen encoder, such as `SpeechEmbedding()`: a learner then sees its features (examples, features), which are
            made once. None: a learner sees samples (examples, samples).
        cache: the folder in which features are kept, by the content of encoder and recording; None: nowhere.
        progress: show a bar while recordings are encoded.
        columns: what else is known of them, by name, such as {"speaker": [...]}: `within` and `across` name one of them.
            `across(tasks, "speaker")` draws support and query from different speakers.

    Other Args:
        options: see `ProtocolOptions`.

    Raises:
        MissingPackageError: soundfile is not installed.
        DataError: what is no recording, is empty, cut short or silent.
        ShapeError: recordings, labels or a column of different length.
        TaskError: a recording in two classes; see also `from_arrays`.
        ArgumentError: arrays without a `rate`; a rate that the encoder does not take; `cache` without an encoder.
        LabelError, ArgumentError: see `from_arrays`.

    Examples:
        >>> sounds = [torch.sin(torch.arange(800.0) * (0.1 + 0.1 * (row % 6)) + row) for row in range(36)]
        >>> labels, voices = [row % 6 for row in range(36)], ["ann" if row < 18 else "bob" for row in range(36)]
        >>> tasks = qs.tasks.from_recordings(
        ...     sounds, labels, rate=8000, seconds=0.1, columns={"speaker": voices}, ways=2, queries=2, split=(2, 2, 2)
        ... )
        >>> qs.tasks.across(tasks, "speaker").train.sample(4).query.x.shape
        torch.Size([4, 4, 800])
    """
    if cache is not None and encoder is None:
        raise ArgumentError("cache", expected="an encoder whose features are kept", got="none", do="Leave `cache` out.")
    recordings, names = list(recordings), as_names(labels)
    if len(recordings) != len(names):
        raise ShapeError(
            "recordings, labels",
            expected="as many labels as recordings",
            got=f"{len(recordings)} and {len(names)}",
            do="Give one label for every recording.",
        )
    paths = bool(recordings) and isinstance(recordings[0], str | Path)
    given: dict[str, Any] = {"seconds": seconds, "trim": trim, "normalise": normalise}
    given |= {"rate": encoder.rate} if rate is None and encoder is not None and _tell_rates(recordings) else {}
    given |= {} if rate is None else {"rate": rate}
    items = RECORDINGS.of_files(list(map(Path, recordings)), **given) if paths else RECORDINGS.of_values(recordings, **given)
    if encoder is not None:
        items = _encoded(items, encoder, cache, progress)
    return family_of(names, items, Protocol(**options), columns=columns)


def _tell_rates(recordings: list[Any]) -> bool:
    """Whether they are files or mappings, which are brought to any rate."""
    return bool(recordings) and isinstance(recordings[0], str | Path | Mapping)


def _encoded(items: Items, encoder: RecordingEncoder, cache: str | Path | None, progress: bool) -> Items:
    """The features of items."""
    reads: Any = items.preprocessing

    def features(x: Tensor, part: str) -> Tensor:
        return encoded_recordings(x, reads, encoder, cache, progress=progress, what=f"{part} recordings")

    def take(rows: list[int], part: str) -> Tensor:
        try:
            x: Any = items.take(rows, part)
        except BrokenItems as error:
            raise BrokenItems(error.errors, features(error.x, part)) from error
        return features(x, part)

    return replace(items, take=take, preprocessing=EncodedWaveform(encoder.key, encoder.features, reads))
