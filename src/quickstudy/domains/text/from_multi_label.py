"""from_multi_label: texts with several labels each as few-shot tasks, one for each person, forum or domain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from quickstudy.arguments import PositiveInt, checked
from quickstudy.calls import remembered
from quickstudy.domains.text.clean import clean
from quickstudy.domains.text.encoder import TextEncoder, encoded
from quickstudy.domains.text.parts import apart, check_one_each, family_of_groups, groups_of, parts_of
from quickstudy.domains.text.readers import reader_of
from quickstudy.domains.text.repeats import Repeats, without_repeats
from quickstudy.errors import LabelError
from quickstudy.targets import MultiLabel
from quickstudy.tasks.distribution.class_lists import Split
from quickstudy.tasks.distribution.class_names import as_names
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.group_tasks import GroupTasks
from quickstudy.tasks.distribution.size import Size
from quickstudy.tasks.sources.options import Part, check_part

UNKNOWN = None  # in place of a text's labels


@remembered
@checked
def from_multi_label(
    texts: Any,
    labels: Sequence[Any],
    group: Any,
    *,
    names: Sequence[str] | None = None,
    length: PositiveInt | None = None,
    encoder: TextEncoder | None = None,
    cache: str | Path | None = None,
    progress: bool = True,
    shots: Size = 10,
    queries: Size = 20,
    split: Split | None = None,
    part: Part = None,
    seed: int = 0,
    repeats: Repeats = "refuse",
) -> TaskFamily[GroupTasks]:
    """Tasks from texts that have any number of labels: learn from some texts of a group, label others of it.

    y is (texts, labels) of 0 and 1, see `targets.MultiLabel`: a network has an output for each of `names`, in their order.

    Args:
        texts: (N,) strings, in any language and script.
        labels: (N,) the labels of each text: ["billing", "urgent"], or [] where none of them is true. To leave unknown which of
            them are, give None: such a text has NaN, which no loss and no score counts.
        group: (N,) the person, forum or domain of each text. A task is of one; all have the same labels.
        names: all labels; None: those that there are, in order of the alphabet.
        length: bytes of a text that are read; None: 128.
        encoder: a frozen encoder, such as `TransformersEncoder(folder)`: a learner then sees its features (examples, features),
            which are made once. None: a learner sees bytes.
        cache: the folder in which features are kept, by the content of encoder and text; None: nowhere.
        progress: show a bar while texts are encoded.
        shots, queries: texts of a task, to learn from and to label; numbers or ranges.
        split: of the groups, as `from_arrays` splits classes: no group is in two parts. None: (0.64, 0.16, 0.2).
        part: "test": all groups are meta-test ones, to score a trained learner on. None: split.
        seed: of a split by fractions.
        repeats: of a text that is there in one group with two sets of labels, or in two parts: "refuse", or "leave out" (of two
            parts: of the earlier one). A text that a group has twice with the same labels is kept once.

    Raises:
        DataError: what is no text, is empty, or holds what no text does.
        ShapeError: texts, labels or group of different length.
        LabelError: labels that are no list of names; a label that `names` do not have.
        ArgumentError: `length` beside `encoder`; `cache` without one.
        TaskError: a text with two sets of labels, or in two parts; a group with too few texts; fewer than three groups.

    Examples:
        >>> things, forums = ["door", "roof", "lamp", "sink"], ["a", "b", "c", "d", "e"]
        >>> texts = [f"the {thing} of {forum}" for forum in forums for thing in things]
        >>> labels, group = [["repair"], ["repair", "urgent"], [], ["water"]] * 5, [forum for forum in forums for _ in things]
        >>> tasks = qs.tasks.from_multi_label(texts, labels, group, length=16, shots=2, queries=2)
        >>> episode = tasks.train.sample(3)
        >>> episode.query.x["ids"].shape, episode.query.y.shape, episode.query.target.names
        (torch.Size([3, 2, 16]), torch.Size([3, 2, 3]), ('repair', 'urgent', 'water'))
    """
    check_part(part, split=split, augment=())
    reader = reader_of(length, encoder, False, cache, progress)
    read = [clean(text, f"texts[{row}]") for row, text in enumerate(texts)]
    owner, own = as_names(group, "group"), [_names(one, row) for row, one in enumerate(labels)]
    check_one_each(len(read), "texts", labels=own, group=owner)
    kind = MultiLabel(tuple(names if names is not None else sorted({name for one in own for name in one or ()})))
    place = {name: number for number, name in enumerate(kind.names or ())}
    _check_known(own, place)

    kept = without_repeats(read, [str(one and sorted(one)) for one in own], repeats, owner, "set of labels")
    by_group = groups_of(owner, kept)
    parts = parts_of(list(by_group), split, seed, part)
    rows = {name: [row for one in groups for row in by_group[one]] for name, groups in parts.items()}
    rows = apart(rows, read, repeats, "texts")
    used = [row for some in rows.values() for row in some]

    some = [read[row] for row in used]
    x = (
        reader.read([[text] for text in some], "texts")[0]
        if encoder is None
        else encoded(some, encoder, cache, progress=progress)
    )
    y = torch.zeros(len(used), len(place))
    for line, row in enumerate(used):
        given = own[row]
        y[line, [place[name] for name in place if given is UNKNOWN or name in given]] = torch.nan if given is UNKNOWN else 1.0
    options: dict[str, Any] = {"shots": shots, "queries": queries, "target": kind}
    return family_of_groups(x, y, rows, parts, owner, read, preprocessing=reader.preprocessing, **options)


def _names(labels: Any, row: int) -> frozenset[str] | None:
    """The labels of a text."""
    if labels is UNKNOWN:
        return None
    if isinstance(labels, str) or not hasattr(labels, "__iter__") or not all(isinstance(name, str) for name in labels):
        raise LabelError(
            f"labels[{row}]",
            expected="a list of names, or None where they are not known",
            got=repr(labels)[:60],
            do="Write [name] for a text with one label, and [] for one with none.",
        )
    return frozenset(labels)


def _check_known(labels: Sequence[frozenset[str] | None], place: dict[str, int]) -> None:
    """Raise LabelError for a label that `names` lack, or where there are none at all."""
    if not place:
        raise LabelError("labels", expected="one label or more", got="none in any text", do="Give `names`, or texts with labels.")
    for row, own in enumerate(labels):
        if unknown := sorted((own or frozenset()) - place.keys()):
            got, do = f"{unknown[0]!r}", "Add it to `names`, or leave `names` out to take all that there are."
            raise LabelError(f"labels[{row}]", expected=f"some of {', '.join(place)}"[:200], got=got, do=do)
