"""from_json_lines: a file with a JSON object in each line, of which one field is a text and one its label."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

from quickstudy.arguments import PositiveInt, checked
from quickstudy.calls import remembered
from quickstudy.domains.text.encoder import TextEncoder
from quickstudy.domains.text.from_texts import from_texts
from quickstudy.errors import DataError, nearest
from quickstudy.files import parsed, read_text
from quickstudy.options import hands_on
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.sources.options import Protocol, ProtocolOptions

MOST = 1 << 30  # bytes of a file


@remembered
@checked
@hands_on(ProtocolOptions, Protocol)
def from_json_lines(
    path: str | Path,
    *,
    text: str = "text",
    label: str = "label",
    length: PositiveInt | None = None,
    encoder: TextEncoder | None = None,
    cache: str | Path | None = None,
    progress: bool = True,
    **options: Unpack[ProtocolOptions],
) -> TaskFamily[LabelledTasks]:
    """`from_texts` of a file of JSON lines. Every other field that each line has, as text or a number, can be named by `within`.

    Args:
        path: the file.
        text, label: the fields.
        length, encoder, cache, progress: as for `from_texts`.

    Other Args:
        options: see `ProtocolOptions`.

    Raises:
        DataError: no such file; a line that is no JSON object, or has no such field.
        DataError, TaskError, LabelError, ArgumentError: as for `from_texts`.

    Examples:
        >>> with open("intents.jsonl", "w") as file:
        ...     for number in range(60):
        ...         print(f'{{"text": "say {number}", "intent": "{chr(97 + number % 6)}"}}', file=file)
        >>> tasks = qs.tasks.from_json_lines("intents.jsonl", label="intent", ways=2, queries=5, split=(2, 2, 2))
        >>> len(tasks.train.class_names), tasks.train.sample(3).query.x["ids"].shape
        (2, torch.Size([3, 10, 128]))
    """
    rows = read_json_lines(Path(path))
    for place, row in rows:
        for field in (text, label):
            if field not in row:
                raise DataError(
                    f"{path}, line {place}",
                    expected=f"the field {field!r}",
                    got=f"the fields {', '.join(row)[:100]}",
                    do=nearest(field, row),
                )
    others = [name for name in rows[0][1] if name not in (text, label)]
    full = [name for name in others if all(isinstance(row.get(name), str | int) for _, row in rows)]
    columns = {name: [str(row[name]) for _, row in rows] for name in full}
    texts, labels = ([row[field] for _, row in rows] for field in (text, label))
    settings: Any = {"length": length, "encoder": encoder, "cache": cache, "progress": progress}
    return from_texts(texts, labels, columns=columns, **settings, **options)


def read_json_lines(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Each object with the number of its line.

    Raises:
        DataError: no such file; a line that is no JSON object; no line.
    """
    expected, do = "a file of JSON lines in UTF-8", "Write one object in each line."
    content = read_text(path, expected=expected, do=do, limit=MOST, error=DataError)
    rows = []
    for place, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        row = parsed(line, f"{path}, line {place}", expected="a JSON object", do=do, error=DataError)
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {place}", expected="a JSON object", got=f"{line[:60]!r}", do=do)
        rows.append((place, row))
    if not rows:
        raise DataError(str(path), expected="lines of JSON", got="none", do="Look at the path.")
    return rows
