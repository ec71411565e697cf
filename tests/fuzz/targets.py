"""What the fuzzers feed: each target takes bytes, puts them where a loader reads, and lets only our own errors pass.

`watched` fails where reading data ran a program, opened a socket or unpickled: nothing of a file is ever code.
"""

from __future__ import annotations

import functools
import gzip
import json
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from tests.artifacts.vouched import rewritten

import quickstudy as qs
from quickstudy.archives import members
from quickstudy.artifacts.checkpoint import load_checkpoint, save_checkpoint
from quickstudy.artifacts.config import read_config
from quickstudy.artifacts.rebuilding import build
from quickstudy.artifacts.run import Run, ready_to_predict
from quickstudy.cli.config import parse
from quickstudy.domains.images.mnist import read_idx
from quickstudy.errors import QuickstudyError
from quickstudy.tasks import from_csv, from_folder
from quickstudy.tasks.distribution.class_lists import read_class_lists
from quickstudy.tasks.distribution.splits import read_split

NEVER = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect", "pickle.find_class")
SLOPE = (np.arange(64, dtype=np.uint8).reshape(8, 8) ** 2 % 251).astype(np.uint8)  # a picture, another one in each quarter turn
seen: list[str] = []
watching = False


def _hook(event: str, arguments: object) -> None:
    if watching and event in NEVER:
        seen.append(event)


@functools.cache
def _install() -> None:
    sys.addaudithook(_hook)  # cannot be taken away again; it looks only while `watching`


@contextmanager
def watched() -> Iterator[None]:
    """Fail where the block did what reading data never does."""
    global watching
    _install()
    seen.clear()
    watching = True
    try:
        yield
    finally:
        watching = False
    assert not seen, f"reading data led to {seen}"


@functools.cache
def saved() -> Path:
    """A saved learner, a checkpoint and a config to begin from."""
    root = Path(tempfile.mkdtemp())
    torch.manual_seed(0)
    learner = qs.MAML(qs.models.mlp(2, 2, hidden=(3,)), inner_lr=0.1)
    learner.save(root / "learner")
    state = {"a": torch.arange(3.0), "b": [1, (2.5, None, True)], 3: {"text": "x"}}
    save_checkpoint(root / "checkpoints", 1, state)
    (root / "config.yaml").write_text(CONFIG, encoding="utf-8")
    qs.FewShotClassifier().fit(np.eye(4), np.array(["a", "b"] * 2)).save(root / "estimator")
    with zipfile.ZipFile(root / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b.txt", "text" * 99)
        archive.writestr("c.png", b"pixels")
    Image.new("RGB", (5, 4), (200, 10, 10)).save(root / "image.png")
    return root


CONFIG = "learner: {name: maml, inner_lr: 0.1}\ntasks: {name: sinusoid, shots: 5}\nnetwork: {name: mlp}\ntrain: {steps: 3}\n"


RESULTS = {
    "format": 1,
    "candidates": [{"learner": "svm", "parameters": {"C": 10.0, "gamma": 0.1}}],
    "features": ["simple.log_rows"],
    "tables": [{"name": "a", "family": "b", "features": [0.5], "scores": [0.9]}],
}


def config(data: bytes) -> None:
    """A config file, read, checked against the signatures and built."""
    with _folder() as root:
        (root / "config.yaml").write_bytes(data)
        read = read_config(root / "config.yaml")
        if yaml_size(read) < 200:
            resolved, _ = parse([], None, str(root / "config.yaml"))
            if resolved["tasks"]["name"] == "sinusoid" and _small(resolved["network"]):
                build(resolved)


def learner_config(data: bytes) -> None:
    """The config.json of a saved learner."""
    with _folder("learner") as root:
        (root / "learner" / "config.json").write_bytes(data)
        with suppress(ValueError, AttributeError, RecursionError):
            rewritten(root / "learner")
        qs.load(root / "learner")


def weights(data: bytes) -> None:
    """The weights.safetensors of a saved learner."""
    with _folder("learner") as root:
        (root / "learner" / "weights.safetensors").write_bytes(data)
        rewritten(root / "learner")
        qs.load(root / "learner")


def checkpoint(data: bytes) -> None:
    """A checkpoint file."""
    with _folder("checkpoints") as root:
        (next((root / "checkpoints").glob("*.safetensors"))).write_bytes(data)
        load_checkpoint(root / "checkpoints")


def run(data: bytes) -> None:
    """What lies in a run's folder beside its config."""
    with _folder() as root:
        for name in ("metrics.jsonl", "evaluation.json", "splits.json", "preprocessing.json", "calibration.json"):
            (root / name).write_bytes(data)
        (root / "config.yaml").write_text(CONFIG, encoding="utf-8")
        shutil.copytree(saved() / "learner", root / "learner")
        found = Run(root)
        _ = found.metrics, found.config
        for read in (lambda: found.evaluation, lambda: found.splits, lambda: ready_to_predict(str(root))):
            with suppress(QuickstudyError):
                read()


def table(data: bytes) -> None:
    """A CSV file beside three images, none of them another's."""
    with _folder() as root:
        for turns, name in enumerate(("a.png", "b.png", "c.png")):
            Image.fromarray(np.rot90(SLOPE, turns).copy()).save(root / name)
        (root / "fuzz.csv").write_bytes(data)
        from_csv(root / "fuzz.csv", ways=1, shots=0, queries=1, size=4, split=(1, 1, 1))


def archive(data: bytes) -> None:
    """A zip."""
    with _folder() as root:
        (root / "a.zip").write_bytes(data)
        for _ in members(root / "a.zip", lambda name: True, member=10**6, total=10**7):
            pass


def packed(data: bytes) -> None:
    """An idx file, as it is and packed by gzip."""
    with _folder() as root:
        (root / "a").write_bytes(data)
        (root / "a.gz").write_bytes(data if data[:1] == b"\x1f" else gzip.compress(data))
        read_idx(root / "a.gz")
        read_idx(root / "a")


def class_lists(data: bytes) -> None:
    """Lists of classes, in each of the formats."""
    with _folder() as root:
        for name in ("train.csv", "val.json", "test.txt", "split.json"):
            (root / name).write_bytes(data)
        for read in (lambda: read_class_lists(root / "split.json"), lambda: read_split(root)):
            with suppress(QuickstudyError):
                read()
        read_class_lists(root)


def estimator(data: bytes) -> None:
    """The estimator.json of a saved estimator, sealed again where it can be."""
    with _folder("estimator") as root:
        (root / "estimator" / "estimator.json").write_bytes(data)
        with suppress(ValueError, AttributeError, RecursionError):
            rewritten(root / "estimator", name="estimator.json")
        qs.FewShotClassifier.load(root / "estimator")


def results(data: bytes) -> None:
    """The results on tables, from which `select` recommends."""
    with _folder() as root:
        (root / "results.json").write_bytes(data)
        qs.select.Results.load(root / "results.json")


def images(data: bytes) -> None:
    """A folder whose images are these bytes, and halves of them."""
    with _folder() as root:
        for name in ("a", "b", "c"):
            (root / name).mkdir()
            (root / name / "0.png").write_bytes(data)
            (root / name / "1.jpg").write_bytes(data[: len(data) // 2])
        from_folder(root, ways=1, shots=0, queries=1, size=4)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "config": config,
    "learner_config": learner_config,
    "weights": weights,
    "checkpoint": checkpoint,
    "run": run,
    "table": table,
    "archive": archive,
    "packed": packed,
    "class_lists": class_lists,
    "estimator": estimator,
    "results": results,
    "images": images,
}


def seeds(name: str) -> list[bytes]:
    """Files that read, to begin from."""
    root = saved()
    files = {
        "config": [root / "config.yaml"],
        "learner_config": [root / "learner" / "config.json"],
        "weights": [root / "learner" / "weights.safetensors"],
        "checkpoint": list((root / "checkpoints").glob("*.safetensors")),
        "estimator": [root / "estimator" / "estimator.json"],
        "archive": [root / "a.zip"],
        "images": [root / "image.png"],
    }.get(name, [])
    extra = {
        "table": [b"filename,label\na.png,x\nb.png,y\nc.png,z\n", b"class_name,image_name\nx,a.png\ny,b.png\nz,c.png\n"],
        "packed": [b"\x00\x00\x08\x02\x00\x00\x00\x01\x00\x00\x00\x02ab"],
        "class_lists": [
            b'["a"]',
            b"A/c1\nB/c2\n",
            b'["a", ["b", "c"]]',
            b'{"train": {"A": ["c1"]}}',
            b"filename,label\na.png,A/c1\n",
        ],
        "results": [json.dumps(RESULTS).encode()],
        "run": [
            b'{"step": 1, "loss": 0.5}\n',
            b'{"train": ["a"], "test": []}',
            b'{"size": 28, "channels": 1, "mean": [0.5], "std": [0.2]}',
        ],
    }
    return [path.read_bytes() for path in files] + extra.get(name, [])


def feed(name: str, data: bytes) -> bool:
    """Give `data` to a target; whether it read. Any error but our own passes through."""
    saved()
    with watched():
        try:
            TARGETS[name](data)
        except QuickstudyError:
            return False
    return True


@contextmanager
def _folder(*copied: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        for name in copied:
            shutil.copytree(saved() / name, Path(made) / name)
        yield Path(made)


def _small(what: object) -> bool:
    """No number of more than four digits: a file may ask for a large network, which is no fault but takes all the memory."""
    text = what.decode(errors="replace") if isinstance(what, bytes) else json.dumps(what)
    return re.search(r"\d[\d_]{4,}|\d[eE]\+?\d|0[xob]", text) is None


def yaml_size(tree: object) -> int:
    """The characters of a tree written out: anchors may make it huge."""
    return len(yaml.safe_dump(tree)) if not _deep(tree) else 10**9


def _deep(tree: object, depth: int = 0) -> bool:
    children = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return depth > 20 or any(_deep(child, depth + 1) for child in children)
