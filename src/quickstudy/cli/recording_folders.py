"""Folders of recordings as a command gets them: read file by file, so that broken ones are reported together."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from quickstudy.cli.image_folders import labels_of
from quickstudy.cli.reader import Query, Reader, Support
from quickstudy.domains.audio.kind import RECORDINGS, each_of_files
from quickstudy.domains.audio.waveform import Waveform
from quickstudy.errors import DataError
from quickstudy.tasks.sources.broken import together
from quickstudy.tasks.sources.folders import class_folders, files_of
from quickstudy.tasks.sources.repeats import without_repeats


class RecordingReader(Reader):
    """Recordings, in a folder for each class, or in any folder to be named.

    Args:
        preprocessing: of the run.
    """

    kind, labelled = "recordings", "recordings in folders of a class"
    mislabelled = "Is it in the right folder?"

    def __init__(self, preprocessing: Waveform):
        self._preprocessing = preprocessing

    @property
    def preprocessing(self) -> Waveform:
        """The run's."""
        return self._preprocessing

    def support(self, path: Path) -> Support:
        """The labelled recordings of a folder of class folders. One that is there twice is kept once; in two classes, refused."""
        classes = class_folders(path, RECORDINGS)
        files = [file for own in classes.values() for file in own]
        labels = [name for name, own in classes.items() for _ in own]
        x, keys, broken = self._read(files, "--support")
        if broken:
            raise together(list(broken.values()), str(path))
        kept = without_repeats(keys, labels, lambda row: str(files[row]), kind="recordings")
        y = torch.tensor([list(classes).index(labels[row]) for row in kept])
        return Support(list(classes), [{"file": str(files[row])} for row in kept], x[torch.tensor(kept)], y)

    def query(self, path: Path, names: list[str]) -> Query:
        """The recordings of a folder and all folders below it, labelled where a folder is called as a class; or one recording."""
        files = files_of(path, RECORDINGS)
        x, _, broken = self._read(files, "--query")
        if len(broken) == len(files):
            raise together(list(broken.values()), f"--query {path}")
        readable = [file for place, file in enumerate(files) if place not in broken]
        return Query([{"file": str(file)} for file in readable], x, labels_of(readable, path, names), list(broken.values()))

    def _read(self, files: list[Path], option: str) -> tuple[Tensor, list[int], dict[int, DataError]]:
        """The samples of each file that can be read, a key of each file's content, and an error by place for each other."""
        rows, every = list(range(len(files))), each_of_files(files, self.preprocessing)
        x, broken = every.each(rows, option)
        return x, [every.keys[row] for row in rows], broken
