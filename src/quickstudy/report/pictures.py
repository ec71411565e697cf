"""Pictures of a task of images: the support by class, and queries with their predictions, marked right or wrong."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from html import escape

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from quickstudy.episode import Examples
from quickstudy.report.example_episodes import ExampleEpisode

SUPPORT_EACH = 5  # support images of a class that are shown
QUERIES_EACH = 3  # queries of a class, at most
QUERIES = 15  # queries of a task, at most
CLASSES = 20  # classes of a task, at most
PIXELS = 64  # images smaller than this are enlarged by whole factors, so that they stay crisp


def is_images(x: object) -> bool:
    """Whether x is a batch of grey or colour images, (examples, 1 or 3, height, width)."""
    return isinstance(x, Tensor) and x.ndim == 4 and x.shape[1] in (1, 3) and min(x.shape[2:]) >= 4


def class_name(label: int, names: Sequence[str] | None = None) -> str:
    """Its name; A, B, ..., Z, then 26, 27, ... where the classes of a task have none."""
    if names is not None:
        return names[label]
    return chr(ord("A") + label) if label < 26 else str(label)


def wrapped(name: str) -> str:
    """A class's name as HTML that may break after the folders and words it is made of."""
    return re.sub(r"([/_])", r"\1<wbr>", escape(name))


def pictures(shown: ExampleEpisode) -> str:
    """The episode as HTML."""
    lowest, highest = float(shown.support.x.min()), float(shown.support.x.max())
    asked = "".join(_query(shown, row, lowest, highest) for row in chosen(shown))
    right = int(shown.right.sum())
    learned = support_pictures(shown.support, shown.names)
    return (
        f'<div class="part"><h4>Learned from</h4><div class="support">{learned}</div></div>'
        f'<div class="part"><h4>Asked <small>{right} of all {len(shown.query)} queries right</small></h4>'
        f'<div class="queries">{asked}</div></div>'
    )


def support_pictures(support: Examples, names: Sequence[str] | None = None) -> str:
    """The support of images as HTML: a line for each class, with its name."""
    lowest, highest = float(support.x.min()), float(support.x.max())
    classes = []
    for label in range(min(int(support.ways or 0), CLASSES)):
        rows = (support.y == label).nonzero().flatten()[:SUPPORT_EACH].tolist()
        name = class_name(label, names)
        images = "".join(_image(support.x[row], lowest, highest, f"support image of class {name}") for row in rows)
        classes.append(f'<div class="class"><span class="name">{wrapped(name)}</span><span class="images">{images}</span></div>')
    return "".join(classes)


def chosen(shown: ExampleEpisode) -> list[int]:
    """Indices of the queries to show: the first of each class, ordered by class; not selected by prediction."""
    ways = min(int(shown.support.ways or 0), CLASSES)
    each = max(1, min(QUERIES_EACH, QUERIES // max(ways, 1)))
    return [row for label in range(ways) for row in (shown.query.y == label).nonzero().flatten()[:each].tolist()]


def _query(shown: ExampleEpisode, row: int, lowest: float, highest: float) -> str:
    assert shown.probability is not None
    answer, truth = (class_name(int(label), shown.names) for label in (shown.prediction[row], shown.query.y[row]))
    probability = f"{100 * float(shown.probability[row]):.0f} %"
    right = bool(shown.right[row])
    image = _image(shown.query.x[row], lowest, highest, f"query of class {truth}, answered {answer} with {probability}")
    mark, was = ("&#10003;", "") if right else ("&#10007;", f'<span class="truth">is {wrapped(truth)}</span>')
    return (
        f'<div class="query {"right" if right else "wrong"}">{image}'
        f'<span><b class="mark">{mark}</b> {probability}</span><b>{wrapped(answer)}</b>{was}</div>'
    )


def _image(x: Tensor, lowest: float, highest: float, alternative: str) -> str:
    """One image (channels, height, width) as an <img> with an embedded PNG; the lowest value is black, the highest white."""
    scaled = ((x.detach().float().cpu() - lowest) / max(highest - lowest, 1e-12)).clamp(0, 1)
    values = (255 * scaled).round().to(torch.uint8).permute(1, 2, 0).numpy()
    picture = Image.fromarray(np.ascontiguousarray(values[:, :, 0] if values.shape[2] == 1 else values))
    factor = max(1, -(-PIXELS // min(picture.size)))
    picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True)
    return f'<img alt="{escape(alternative)}" src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'
