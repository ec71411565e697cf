"""Files below a folder: their kind, and the class of each."""

from __future__ import annotations

import os
from pathlib import Path

from quickstudy.errors import DataError
from quickstudy.tasks.sources.kind import SUFFIXES, Kind, kind_named, kind_of_file


def kind_of_folder(root: Path, name: str | None) -> Kind:
    """The kind of the files in the class folders below `root`: `name` if given, else by their suffixes.

    Raises:
        DataError: no such folder; files of no known kind, or of several kinds.
        ArgumentError, UnsupportedError: see `kind_named`.
    """
    if name is not None:
        return kind_named(name)
    found: dict[str, list[Path]] = {}
    for folder, files, _ in _walk(root):
        for file in files if folder != root else ():
            found.setdefault(kind_of_file(file) or "", []).append(file)
    found.pop("", None)
    if not found:
        raise DataError(
            str(root),
            expected="a folder with a folder of " + ", ".join(SUFFIXES) + " or the like for each class",
            got="none of them in it" if os.path.isdir(root) else "no such folder",
            do="Make one folder for each class, named for it: " + str(root / "cat" / "1.png") + ", ...",
        )
    if len(found) > 1:
        each = " and ".join(f"{len(files)} {kind} ({files[0].relative_to(root)}, ...)" for kind, files in sorted(found.items()))
        raise DataError(
            str(root),
            expected="files of one kind",
            got=each,
            do="Say which to read: " + " or ".join(f"kind={kind!r}" for kind in sorted(found)) + ".",
        )
    return kind_named(next(iter(found)))


def files_of(path: str | Path, kind: Kind) -> list[Path]:
    """The files of a kind in a folder and all folders below it, sorted; or the one file.

    Raises:
        DataError: no such path, or no file of the kind there.
    """
    path = Path(path)
    found = [path] if os.path.isfile(path) else sorted(file for _, files, _ in _walk(path) for file in _only(files, kind))
    if not found:
        raise DataError(
            str(path),
            expected=f"one of {kind.name}, or a folder with {kind.name} ({_some(kind)})",
            got="none in it" if os.path.isdir(path) else "no such path",
            do="Check the path.",
        )
    return found


def class_folders(root: str | Path, kind: Kind) -> dict[str, list[Path]]:
    """The files of each class: a folder that holds files of the kind is a class, named by its path below `root`.

    Raises:
        DataError: no such folder; no class in it; a class without files (an empty folder).
    """
    root = Path(root)
    classes = {}
    for folder, every, folders in _walk(root):
        files = _only(every, kind)
        if files and folder != root:
            classes[folder.relative_to(root).as_posix()] = files
        elif not files and not folders and folder != root:
            raise DataError(
                str(folder),
                expected=f"{kind.name} of its class ({_some(kind)})",
                got=f"a folder without {kind.name}",
                do="Put the class's files into it, or remove it.",
            )
    if not classes:
        raise DataError(
            str(root),
            expected=f"a folder with a folder of {kind.name} for each class",
            got=f"no folder with {kind.name} in it" if os.path.isdir(root) else "no such folder",
            do="Make one folder for each class, named for it: " + str(root / "cat" / f"1{kind.suffixes[0]}") + ", ...",
        )
    return dict(sorted(classes.items()))


def _only(files: list[Path], kind: Kind) -> list[Path]:
    return [file for file in files if file.suffix.lower() in kind.suffixes]


def _some(kind: Kind) -> str:
    return ", ".join(suffix[1:] for suffix in kind.suffixes[:5]) + (", ..." if len(kind.suffixes) > 5 else "")


def _walk(root: Path) -> list[tuple[Path, list[Path], list[str]]]:
    """Each folder at or below root, its sorted files and its folders: links followed, no folder twice, hidden ones skipped."""
    found, seen = [], set()
    for here, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:  # a link back to a folder already visited
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        files = [Path(here) / name for name in sorted(names) if not name.startswith(".")]
        found.append((Path(here), [file for file in files if os.path.isfile(file)], list(folders)))
    return found
