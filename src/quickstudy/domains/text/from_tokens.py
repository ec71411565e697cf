"""from_tokens: sentences whose words have tags as few-shot tasks, one for each language."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quickstudy.arguments import PositiveInt, checked
from quickstudy.calls import remembered
from quickstudy.domains.text.encoder import TextEncoder
from quickstudy.domains.text.parts import apart, by_units, check_one_each, family_of_groups, groups_of, parts_of
from quickstudy.domains.text.readers import labelled, reader_of
from quickstudy.domains.text.repeats import Repeats, in_units, without_repeats
from quickstudy.domains.text.tokens import check_classes, kind_of, numbered, read_tags, read_words
from quickstudy.tasks.distribution.class_lists import Split
from quickstudy.tasks.distribution.class_names import as_names
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.group_tasks import GroupTasks
from quickstudy.tasks.distribution.size import Size
from quickstudy.tasks.sources.options import Part, check_part


@remembered
@checked
def from_tokens(
    tokens: Sequence[Any],
    tags: Sequence[Any],
    group: Any,
    *,
    translations: Any = None,
    names: Sequence[str] | None = None,
    length: PositiveInt | None = None,
    encoder: TextEncoder | None = None,
    trainable: bool = False,
    cache: str | Path | None = None,
    progress: bool = True,
    shots: Size = 10,
    queries: Size = 20,
    split: Split | None = None,
    part: Part = None,
    seed: int = 0,
    repeats: Repeats = "refuse",
) -> TaskFamily[GroupTasks]:
    """Tasks from tagged sentences: learn from some sentences of a language, tag others of it.

    A sentence is its words with spaces between them, and a learner sees x = {"ids", "mask"} of its bytes, see `Bytes`. A word's
    label stands at its first byte, and the other bytes have none (`targets.TokenLabels`). So a network gives an output for each
    byte, as `ByteConv(features, pool=False)` does. With an `encoder` it is one for each word, or for each piece of one.

    Args:
        tokens: (N,) lists of words.
        tags: (N,) lists of tags, one for each word: "O", "B-date", "I-date", ... or others. The same tags in all groups.
        group: (N,) the language, or the domain, of each sentence. A task is of one.
        translations: (N,) what sentences that are translations of each other share, such as the English one. Then the sentences
            are split too, by 0.64, 0.16 and 0.2: no part has a translation of another part's sentence. None: they are not.
        names: all tags; None: those that there are.
        length: bytes of a sentence that are read; None: 128.
        encoder: a frozen encoder, such as `TransformersEncoder(folder)`: a learner then sees its features (words, features),
            which are made once, zeros behind the last word, and y has a label for each word. None: bytes.
        trainable: the learner is to train the encoder's own network (`encoder.network(outputs)`, in `models.LoRA`): it then sees
            x = {"ids", "mask"} of the pieces of the words, and a word's label stands at its first piece.
        cache: the folder in which features are kept, by the content of encoder and sentence; None: nowhere.
        progress: show a bar while sentences are encoded.
        shots, queries: sentences of a task, to learn from and to tag; numbers or ranges.
        split: of the groups, as `from_arrays` splits classes: no group is in two parts. None: (0.64, 0.16, 0.2).
        part: "test": all groups are meta-test ones, to score a trained learner on. None: split.
        seed: of the splits by fractions.
        repeats: of a sentence that is there in one group with two taggings, or in two parts: "refuse", or "leave out" (of two
            parts: of the earlier one). A sentence that a group has twice with one tagging is kept once.

    Raises:
        DataError: what is no text, or no list of words.
        ShapeError: tags of another number than words; tokens, tags, group or translations of different length.
        ArgumentError, UnsupportedError: `length` beside `encoder`, or what else does not go together.
        LabelError: a group whose words all have one tag; a tag that `names` do not have.
        TaskError: a sentence with two taggings, or in two parts; a group with too few sentences; fewer than three groups.

    Examples:
        >>> verbs = {"en": "play", "de": "spiel", "da": "spil", "it": "suona", "nl": "speel"}
        >>> style = ["jazz", "rock", "funk", "soul", "folk", "ska"]
        >>> tokens = [[verb, one] for verb in verbs.values() for one in style]
        >>> tags, language = [["O", "B-style"]] * 30, [one for one in verbs for _ in style]
        >>> tasks = qs.tasks.from_tokens(tokens, tags, language, length=16, shots=2, queries=3)
        >>> episode = tasks.train.sample(4)
        >>> episode.query.x["ids"].shape, episode.query.y.shape, episode.query.target.names
        (torch.Size([4, 3, 16]), torch.Size([4, 3, 16]), ('O', 'B-style'))
    """
    check_part(part, split=split, augment=())
    reader = reader_of(length, encoder, trainable, cache, progress)
    sentences = read_words(tokens)
    read, owner = read_tags(tags, sentences), as_names(group, "group")
    shared = None if translations is None else as_names(translations, "translations")
    check_one_each(len(sentences), "sentences", group=owner, translations=shared)
    texts = [" ".join(words) for words in sentences]
    kept = without_repeats(texts, [" ".join(own) for own in read], repeats, owner, "tagging")
    by_group = groups_of(owner, kept)
    check_classes(read, by_group)
    kind = kind_of(read, names)
    labels = numbered(read, kind)
    parts = parts_of(list(by_group), split, seed, part)
    rows = {name: [row for group in groups for row in by_group[group]] for name, groups in parts.items()}
    if part is None:
        rows = apart(rows, texts, repeats, "tokens") if shared is None else by_units(rows, in_units(texts, shared), kept, seed)

    used = [row for some in rows.values() for row in some]
    x, places = reader.read([sentences[row] for row in used], "tokens")
    y = labelled(x, places, [labels[row] for row in used], "tokens")
    options: dict[str, Any] = {"shots": shots, "queries": queries, "target": kind}
    return family_of_groups(x, y, rows, parts, owner, texts, preprocessing=reader.preprocessing, **options)
