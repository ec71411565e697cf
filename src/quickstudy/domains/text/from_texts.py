"""from_texts: labelled texts as few-shot tasks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

import torch

from quickstudy.arguments import PositiveInt, checked
from quickstudy.calls import remembered
from quickstudy.domains.text.clean import clean
from quickstudy.domains.text.encoder import TextEncoder, encoded
from quickstudy.domains.text.kind import SHOWN, TEXTS, content_of
from quickstudy.domains.text.readers import reader_of
from quickstudy.errors import ShapeError
from quickstudy.options import hands_on
from quickstudy.tasks.distribution.class_names import as_names
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.sources.kind import Items
from quickstudy.tasks.sources.options import Protocol, ProtocolOptions
from quickstudy.tasks.sources.source import family_of


@remembered
@checked
@hands_on(ProtocolOptions, Protocol)
def from_texts(
    texts: Any,
    labels: Any,
    *,
    length: PositiveInt | None = None,
    encoder: TextEncoder | None = None,
    trainable: bool = False,
    cache: str | Path | None = None,
    progress: bool = True,
    columns: Mapping[str, Any] | None = None,
    **options: Unpack[ProtocolOptions],
) -> TaskFamily[LabelledTasks]:
    """N-way K-shot tasks from labelled texts: intents, topics, senders. A learner sees x = {"ids", "mask"}, see `Bytes`.

    Args:
        texts: (N,) strings, in any language and script: a list, an array, a column of a table.
        labels: (N,) of any kind. Each different label names a class.
        length: bytes of a text that are read; None: 128.
        encoder: a frozen encoder, such as `TransformersEncoder(folder)`: a learner then sees its features (examples, features),
            which are made once. None: a learner sees bytes.
        trainable: the learner is to train the encoder's own network (`encoder.network(outputs)`, in `models.LoRA`): it then sees
            x = {"ids", "mask"} of its pieces.
        cache: the folder in which features are kept, by the content of encoder and text; None: nowhere.
        progress: show a bar while texts are encoded.
        columns: what else is known of the texts, by name, such as {"language": [...]}: `within` and `across` name one of them.

    Other Args:
        options: see `ProtocolOptions`.

    Raises:
        DataError: what is no text, is empty, or holds what no text does.
        ShapeError: texts, labels or a column of different length.
        TaskError: a text in two classes; see also `from_arrays`.
        ArgumentError: `length` beside `encoder`; `cache` or `trainable` without one, or both.
        UnsupportedError: an encoder that has no network to train.
        LabelError, ArgumentError: see `from_arrays`.

    Examples:
        >>> verbs, things = ("open", "close", "find", "buy", "sell", "paint"), ("it", "them", "a door")
        >>> texts, labels = [f"{verb} {thing}" for verb in verbs for thing in things], [verb for verb in verbs for _ in things]
        >>> tasks = qs.tasks.from_texts(texts, labels, length=16, ways=2, queries=2, split=(2, 2, 2))
        >>> tasks.train.sample(4).support.x["ids"].shape
        torch.Size([4, 2, 16])
    """
    reader = reader_of(length, encoder, trainable, cache, progress)
    texts, names = list(texts), as_names(labels)
    if len(texts) != len(names):
        raise ShapeError(
            "texts, labels",
            expected="as many labels as texts",
            got=f"{len(texts)} and {len(names)}",
            do="Give one label for every text.",
        )
    read = [clean(text, f"texts[{row}]") for row, text in enumerate(texts)]
    if encoder is None:
        items = TEXTS.of_values(read, **({} if length is None else {"length": length}))
    else:
        if trainable:
            encoder.check_lengths(read)  # type: ignore[attr-defined]  # as an encoder with `pieces` has it
        x = reader.read([[text] for text in read], "texts")[0] if trainable else encoded(read, encoder, cache, progress=progress)
        items = Items(
            lambda rows, part: x[torch.tensor(rows)],
            reader.preprocessing,
            content=lambda rows: content_of(read[row] for row in rows),
            shown=lambda row: repr(read[row][:SHOWN]),
        )
    return family_of(names, items, Protocol(**options), columns=columns)
