"""Books: drawn characters of many styles, one style a book, and tasks whose classes come from one book.

A book is one script by many hands with one kind of pen on one kind of paper, so that its style tells nothing about a class.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import torch
from torch import Tensor

from quickstudy.domains.images.drawing import draw_characters
from quickstudy.domains.images.style import Style

PLAIN = 0.2  # share of books in the default style
CLASSES, EXAMPLES = 100, 20  # of a book


def book(seed: int, classes: int = CLASSES, examples: int = EXAMPLES) -> Tensor:
    """The drawings of one book: uint8 (classes, examples, 28, 28)."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(seed)
    plain = float(torch.rand((), generator=generator)) < PLAIN
    style = Style() if plain else Style.any(generator)
    return draw_characters(classes, examples, generator=generator, style=style)[:, :, 0]


def books(first: int, count: int, classes: int = CLASSES, cores: int = 1) -> Tensor:
    """Books of the seeds first, first + 1, ...: uint8 (books, classes, examples, 28, 28)."""
    if cores == 1:
        return torch.stack([book(seed, classes) for seed in range(first, first + count)])
    with ProcessPoolExecutor(cores, get_context("spawn")) as pool:
        drawn = pool.map(partial(as_array, classes=classes), range(first, first + count))
        return torch.stack([torch.from_numpy(one) for one in drawn])


def as_array(seed: int, classes: int) -> object:
    """A book as a NumPy array, which another process hands over whole."""
    return book(seed, classes).numpy()


def tasks_of(
    images: Tensor, count: int, ways: int, shots: int, queries: int, generator: torch.Generator, inverted: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Tasks whose classes come from one book each, as ink 1 on ground 0; a share `inverted` of them as ink 0 on ground 1.

    Returns:
        support (tasks, ways * shots, 1, side, side) and query (tasks, ways * queries, 1, side, side), class after class.
    """
    flat = rows_of(images, count, ways, shots + queries, generator)
    flips = torch.rand(count, 1, 1, 1, 1, generator=generator, device=generator.device) < inverted
    x = images.flatten(0, 2).index_select(0, flat.flatten()).view(*flat.shape, 1, *images.shape[3:]).float() / 255
    support, query = x[:, :, :shots].flatten(1, 2), x[:, :, shots:].flatten(1, 2)
    flips = flips.to(images.device)
    return torch.where(flips, 1 - support, support), torch.where(flips, 1 - query, query)


def rows_of(images: Tensor, count: int, ways: int, each: int, generator: torch.Generator) -> Tensor:
    """Where the examples of random tasks lie in images (books, classes, examples, ...), counted through: (tasks, ways, each)."""
    volumes, classes, examples = images.shape[:3]
    device = generator.device
    volume = torch.randint(volumes, (count, 1, 1), generator=generator, device=device)
    chosen = torch.rand(count, classes, generator=generator, device=device).argsort(1)[:, :ways, None]
    rows = torch.rand(count, ways, examples, generator=generator, device=device).argsort(2)[:, :, :each]
    return ((volume * classes + chosen) * examples + rows).to(images.device)
