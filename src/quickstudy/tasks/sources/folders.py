"""Files below a folder: their kind, and the class of each."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from quickstudy.errors import DataError
from quickstudy.tasks.sources.kind import SUFFIXES, Kind, kind_named, kinds_by_suffix


def kind_of_folder(root: Path, name: str | None) -> Kind:
    """The kind of the files in the class folders below `root`: `name` if given, else by their suffixes.

    Raises:
        DataError: no such folder; files of no known kind, or of several kinds.
        ArgumentError, UnsupportedError: see `kind_named`.
    """
    if name is not None:
        return kind_named(name)
    found: Counter[str] = Counter()
    first: dict[str, Path] = {}
    kinds = kinds_by_suffix()
    for folder, names, _ in _walk(root):
        for file in names if folder != root else ():
            if (kind := kinds.get(_suffix(file))) is not None:
                found[kind] += 1
                if kind not in first:
                    first[kind] = folder / file
    if not found:
        raise DataError(
            str(root),
            expected="a folder with a folder of " + ", ".join(SUFFIXES) + " or the like for each class",
            got="none of them in it" if os.path.isdir(root) else "no such folder",
            do="Make one folder for each class, named for it: " + str(root / "cat" / "1.png") + ", ...",
        )
    if len(found) > 1:
        each = " and ".join(f"{count} {kind} ({first[kind].relative_to(root)}, ...)" for kind, count in sorted(found.items()))
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
    below = _walk(path) if os.path.isdir(path) else []
    files = sorted(folder / name for folder, names, _ in below for name in _only(names, kind))
    found = [path] if os.path.isfile(path) else files
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
            classes[folder.relative_to(root).as_posix()] = [folder / name for name in files]
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


def _only(names: list[str], kind: Kind) -> list[str]:
    suffixes = frozenset(kind.suffixes)
    return [name for name in names if _suffix(name) in suffixes]


def _suffix(name: str) -> str:
    """As `Path(name).suffix.lower()`, without making a path."""
    return os.path.splitext(name)[1].lower()


def _some(kind: Kind) -> str:
    return ", ".join(suffix[1:] for suffix in kind.suffixes[:5]) + (", ..." if len(kind.suffixes) > 5 else "")


def _walk(root: Path) -> list[tuple[Path, list[str], list[str]]]:
    """Each folder at or below root, the sorted names of its files and of its folders.

    Links are followed, no folder is visited twice, hidden ones are skipped. Only what is neither a file nor a folder by its entry
    (a link) is asked for.
    """
    found: list[tuple[Path, list[str], list[str]]] = []
    seen: set[str] = set()
    waiting = [os.fspath(root)]
    while waiting:
        here = waiting.pop()
        real = os.path.realpath(here)
        if real in seen:  # a link back to a folder already visited
            continue
        seen.add(real)
        names, folders = _entries(here)
        found.append((Path(here), names, folders))
        waiting += [os.path.join(here, name) for name in reversed(folders)]
    return found


def _entries(folder: str) -> tuple[list[str], list[str]]:
    """The names of the files and of the folders in a folder, sorted; none where it cannot be listed."""
    names: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders += [entry.name] * (entry.name != "__MACOSX")
                elif entry.is_file():
                    names.append(entry.name)
    except OSError:  # as os.walk does
        return [], []
    return sorted(names), sorted(folders)
