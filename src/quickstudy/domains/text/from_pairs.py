"""from_pairs: texts and what belongs to each, such as translations, as tasks of finding one by the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quickstudy.arguments import checked
from quickstudy.calls import remembered
from quickstudy.domains.text.clean import clean
from quickstudy.domains.text.encoder import Encoded, TextEncoder, encoded
from quickstudy.domains.text.parts import by_units, check_one_each, family_of_groups, groups_of, parts_of
from quickstudy.domains.text.repeats import in_units, without_repeats
from quickstudy.targets import Pairs
from quickstudy.tasks.distribution.class_lists import Split
from quickstudy.tasks.distribution.class_names import as_names
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.group_tasks import GroupTasks
from quickstudy.tasks.distribution.size import Size
from quickstudy.tasks.sources.options import Part, check_part


@remembered
@checked
def from_pairs(
    texts: Any,
    others: Any,
    group: Any,
    *,
    encoder: TextEncoder,
    target: Pairs | None = None,
    cache: str | Path | None = None,
    progress: bool = True,
    shots: Size = 10,
    queries: Size = 20,
    split: Split | None = None,
    part: Part = None,
    seed: int = 0,
) -> TaskFamily[GroupTasks]:
    """Retrieval tasks, one for each language: learn from some pairs of it, and find the other text of each query.

    A learner sees features x of a text and answers with a point among the features y of the other texts. It is ranked among those
    of all queries of the task (`targets.Pairs`), so `queries` says how many candidates there are. The pairs are split too, by
    0.64, 0.16 and 0.2: no part has a text of another part, on either side.

    Args:
        texts: (N,) strings, in any language and script.
        others: (N,) what belongs to each, such as its English translation; the same for translations of one sentence.
        group: (N,) the language, or the domain, of each of `texts`. A task is of one.
        encoder: the frozen encoder of both, such as `TransformersEncoder(folder)`.
        target: the kind of y, whose scale the loss has; None: `targets.Pairs()`.
        cache: the folder in which features are kept, by the content of encoder and text; None: nowhere.
        progress: show a bar while texts are encoded.
        shots, queries: pairs of a task, to learn from and to find; numbers or ranges.
        split: of the groups, as `from_arrays` splits classes: no group is in two parts. None: (0.64, 0.16, 0.2).
        part: "test": all groups are meta-test ones, to score a trained learner on. None: split.
        seed: of the splits by fractions.

    Raises:
        DataError: what is no text, is empty, or holds what no text does.
        ShapeError: texts, others or group of different length.
        TaskError: a text of a group that belongs to two others; a group with too few pairs; fewer than three groups.

    Examples:
        >>> from quickstudy.domains.text.encoder import TextEncoder
        >>> class Letters(TextEncoder):
        ...     key, features = "letters-1", 26
        ...     def encode(self, texts):
        ...         return torch.tensor([[float(text.count(chr(97 + place))) for place in range(26)] for text in texts])
        >>> english = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
        >>> texts = [f"{one}{end}" for end in ("u", "ka", "mo", "xa", "ly") for one in english]
        >>> group = [end for end in ("u", "ka", "mo", "xa", "ly") for _ in english]
        >>> tasks = qs.tasks.from_pairs(texts, english * 5, group, encoder=Letters(), shots=1, queries=1, progress=False)
        >>> tasks.train.sample(4).query.y.shape
        torch.Size([4, 1, 26])
    """
    check_part(part, split=split, augment=())
    given = {"texts": texts, "others": others}
    first, second = ([clean(text, f"{name}[{row}]") for row, text in enumerate(own)] for name, own in given.items())
    owner = as_names(group, "group")
    check_one_each(len(first), "texts", others=second, group=owner)
    kept = without_repeats(first, second, groups=owner, what="pair")
    by_group = groups_of(owner, kept)
    parts = parts_of(list(by_group), split, seed, part)
    rows = {name: [row for one in groups for row in by_group[one]] for name, groups in parts.items()}
    if part is None:
        rows = by_units(rows, in_units(first, second), kept, seed)
    used = [row for some in rows.values() for row in some]
    x, y = (encoded([own[row] for row in used], encoder, cache, progress=progress) for own in (first, second))
    options: dict[str, Any] = {"shots": shots, "queries": queries, "target": target or Pairs()}
    reads = Encoded(encoder.key, encoder.features)
    return family_of_groups(x, y, rows, parts, owner, first, preprocessing=reads, **options)
