"""Validation: drawn books that no candidate saw, and the alphabets of Omniglot's *background* part, by several pens.

MNIST, Fashion-MNIST and Omniglot's evaluation alphabets are the test: no choice of this study looks at them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.studies.pretrained_strokes.books import books, rows_of
from benchmarks.studies.pretrained_strokes.heads import NAMES, Heads, logits
from quickstudy.domains.images.omniglot_images import read_images

FIRST_BOOK, BOOKS = 10_000_000, 24  # seeds of the drawn validation books, far from those of training
WAYS, QUERIES = 5, 10
AT_ONCE = 512  # images embedded at a time
Sets = dict[str, list[Tensor]]  # groups of classes: uint8 (classes, examples, side, side)


def sets(omniglot: Path | None, classes: int, cores: int) -> Sets:
    """The validation data by name; tasks draw their classes within one group."""
    found: Sets = {"drawn": list(books(FIRST_BOOK, BOOKS, min(classes, 60), cores))}
    if omniglot is not None:
        alphabets = background(omniglot)
        found["omniglot"] = alphabets
        found["omniglot, bold"] = [bold(one) for one in alphabets]
        found["omniglot, inverted"] = [255 - one for one in alphabets]
    return found


def background(omniglot: Path) -> list[Tensor]:
    """Omniglot's 30 background alphabets."""
    groups: dict[str, list[Tensor]] = {}
    for name, drawings in read_images(omniglot).items():
        part, alphabet, _ = name.split("/")
        if part == "images_background":
            groups.setdefault(alphabet, []).append(drawings[:, 0])
    return [torch.stack(one) for one in groups.values()]


def bold(images: Tensor) -> Tensor:
    """The same shapes by a broad pen, larger on the canvas and leaning: drawn by people, unlike anything in Omniglot."""
    flat = F.max_pool2d(images.flatten(0, 1)[:, None].float() / 255, 3, 1, 1)
    generator = torch.Generator().manual_seed(0)
    lean = 0.2 + 0.15 * torch.randn(len(flat), generator=generator)
    size = (0.1 * torch.randn(len(flat), generator=generator)).exp() / 1.25
    rows = torch.stack([size, lean * size, 0 * size, 0 * size, size, 0 * size], 1).view(-1, 2, 3)
    moved = F.grid_sample(flat, F.affine_grid(rows, list(flat.shape), align_corners=False), align_corners=False)
    return (255 * moved[:, 0]).round().to(torch.uint8).view_as(images)


def scores(network: nn.Module, heads: Heads, data: Sets, shots: tuple[int, ...], tasks: int) -> list[dict[str, Any]]:
    """Accuracy of each head on each set at each number of shots, with 95 % intervals over tasks."""
    rows = []
    for name, groups in data.items():
        features = [embedded(network, group) for group in groups]
        for each in shots:
            right = torch.cat([_right(heads, one, index, each, tasks) for index, one in enumerate(features)], 1)
            for head, values in zip(NAMES, right, strict=True):
                ci = 1.96 * float(values.std()) / len(values) ** 0.5
                rows.append({"set": name, "shots": each, "head": head, "accuracy": float(values.mean()), "ci95": ci})
    return rows


@torch.no_grad()
def embedded(network: nn.Module, images: Tensor) -> Tensor:
    """The features of images (classes, examples, side, side): (classes, examples, features)."""
    network.eval()
    parts = [network(part[:, None].float() / 255) for part in images.flatten(0, 1).split(AT_ONCE)]
    return torch.cat(parts).flatten(1).unflatten(0, images.shape[:2])


@torch.no_grad()
def _right(heads: Heads, features: Tensor, seed: int, shots: int, tasks: int) -> Tensor:
    """The share of right answers of each task: (heads, tasks)."""
    rows = rows_of(features[None], tasks, WAYS, shots + QUERIES, torch.Generator().manual_seed(seed))
    z = features.flatten(0, 1)[rows]
    found = logits(heads, z[:, :, :shots].flatten(1, 2), z[:, :, shots:].flatten(1, 2), WAYS, shots)
    y = torch.arange(WAYS, device=z.device).repeat_interleave(QUERIES)
    return torch.stack([(found[name].argmax(2) == y).float().mean(1).cpu() for name in NAMES])
