"""Train the candidates for the learner that comes along on drawn books, and score them on validation data.

PYTHONPATH=src python -m benchmarks.studies.pretrained_strokes --out FOLDER [--omniglot FOLDER] [--device cuda] [--cores 6]
    [--seconds 270] [--classes 40000] [--only conv64 resnet] [--start]      writes candidates.safetensors and candidates.json
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import quickstudy as qs
from benchmarks.studies.pretrained_strokes.books import CLASSES, books
from benchmarks.studies.pretrained_strokes.candidates import CANDIDATES
from benchmarks.studies.pretrained_strokes.heads import Heads
from benchmarks.studies.pretrained_strokes.training import Trained, train
from benchmarks.studies.pretrained_strokes.validation import Sets, scores, sets

SHOTS = (1, 5, 10)
QUICK = ("drawn", "omniglot", "omniglot, bold")  # what validations during training look at


def main() -> None:
    """The command."""
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    classes = min(CLASSES, options.classes)
    images = books(0, max(options.classes // classes, 1), classes, options.cores)
    say(began, f"drawn {tuple(images.shape)}")
    data = sets(options.omniglot, classes, options.cores)
    say(began, f"validation data {[(name, len(groups)) for name, groups in data.items()]}")
    images = images.to(options.device)
    data = {name: [group.to(options.device) for group in groups] for name, groups in data.items()}
    quick: Sets = {
        name: groups[: options.quick] for name, groups in data.items() if name in ("drawn", "omniglot", "omniglot, bold")
    }
    record: dict[str, Any] = {"classes": len(images) * classes, "examples": images.shape[2], "seconds": options.seconds}
    record |= {"device": options.device, "torch": torch.__version__, "candidates": {}, "references": {}}
    for name, network in ({} if options.brief else references()).items():
        record["references"][name] = scores(network.to(options.device), Heads().to(options.device), data, SHOTS, options.tasks)
    say(began, "references scored")
    start = references()["shipped"].state_dict() if options.start else None
    tensors: dict[str, Tensor] = {}
    chosen = {name: one for name, one in CANDIDATES.items() if not options.only or name in options.only}
    total = sum(one.share for one in chosen.values())
    for name, candidate in chosen.items():

        def validate(network: nn.Module, heads: Heads) -> dict[str, float]:
            found = scores(network, heads, quick, (1, 5), 20)
            brief = {f"{row['set']} {row['shots']} {row['head']}": round(row["accuracy"], 4) for row in found}
            say(began, json.dumps(brief))
            return brief

        candidate = replace(candidate, tasks=options.at_once or candidate.tasks)
        trained = train(candidate, images, options.seconds * candidate.share / total, options.seed, validate, start)
        tensors |= {f"{name}.network.{key}": value.cpu().contiguous() for key, value in trained.network.state_dict().items()}
        tensors |= {f"{name}.heads.{key}": value.cpu().contiguous() for key, value in trained.heads.state_dict().items()}
        save_file(tensors, options.out / "candidates.safetensors")  # after each candidate: a stop loses only what is to come
        record["candidates"][name] = recorded(trained, {} if options.brief else data, options.tasks)
        (options.out / "candidates.json").write_text(json.dumps(record, indent=1))
        say(began, f"{name}: {trained.steps} steps")


def arguments() -> argparse.Namespace:
    """The command's arguments."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("--out", type=Path, required=True, help="the folder to write into")
    made.add_argument("--omniglot", type=Path, help="the folder of Omniglot; its background part is validation data")
    made.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    made.add_argument("--cores", type=int, default=1, help="processes that draw")
    made.add_argument("--seconds", type=float, default=270.0, help="of training, all candidates together")
    made.add_argument("--classes", type=int, default=40_000, help="drawn classes for training")
    made.add_argument("--tasks", type=int, default=40, help="validation tasks of each group of classes")
    made.add_argument("--at-once", type=int, help="tasks of a meta-step, where a CPU should take fewer than a candidate has")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--start", action="store_true", help="start from the weights of the learner that comes along now")
    made.add_argument("--quick", type=int, default=8, help="groups of classes of the validations during training")
    made.add_argument("--brief", action="store_true", help="score nothing on all validation data; `score` does it later")
    made.add_argument("--only", nargs="*", choices=list(CANDIDATES), help="train only these candidates")
    return made.parse_args()


def references() -> dict[str, nn.Module]:
    """What a candidate must beat: the learner that comes along now, and the same heads on pixels."""
    shipped = qs.load("strokes")
    assert isinstance(shipped, qs.Prototypical)
    return {"shipped": shipped.embed, "pixels": nn.Flatten()}


def recorded(trained: Trained, data: Sets, tasks: int) -> dict[str, Any]:
    """A candidate's record: its scores, its curve, its heads' numbers, its size."""
    size = sum(value.numel() for value in trained.network.parameters())
    heads = {key: float(value) for key, value in trained.heads.state_dict().items()}
    found = scores(trained.network, trained.heads, data, SHOTS, tasks)
    return {"steps": trained.steps, "parameters": size, "heads": heads, "scores": found, "curve": trained.curve}


def say(began: float, line: str) -> None:
    """A line of progress."""
    print(f"{time.perf_counter() - began:6.1f} s  {line}", flush=True)


if __name__ == "__main__":
    main()
