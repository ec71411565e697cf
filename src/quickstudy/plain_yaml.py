"""YAML as plain data: no tag, no alias, no key twice. A few aliases may stand for gigabytes; a second key hides the first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from quickstudy.errors import ArgumentError
from quickstudy.files import read_text

LIMIT = 2**20  # bytes
DEEPEST = 50  # values within values


class _Plain(yaml.SafeLoader):
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(None, None, "an alias, which is not read: write the value again", event.start_mark)
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.composer.ComposerError(None, None, f"values within values, {DEEPEST} deep", self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} twice", key.start_mark)
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path, *, name: str, expected: str, do: str, limit: int = LIMIT) -> Any:
    """What a YAML file says.

    Args:
        name, expected, do: of the error.
        limit: bytes that it may have.

    Raises:
        ArgumentError: no such file, a larger one, no YAML, an alias, a tag, or a key that stands twice.
    """
    text = read_text(path, name=name, expected=expected, do=do, limit=limit, error=ArgumentError)
    try:
        return yaml.load(text, Loader=_Plain)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        got = " ".join(str(error).split())[:200]
        raise ArgumentError(name, expected=expected, got=f"what does not parse: {got}", do="Mend it.") from error
