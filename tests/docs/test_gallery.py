"""Every notebook of the gallery runs, in full size, and what its text claims is so.

UPDATE=1 pytest tests/docs/test_gallery.py    writes the notebooks from the pages, and the pictures by the notebooks
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image
from tests.docs.notebooks import GALLERY, NAMES, PICTURES, cells, notebook, run, text_of

UPDATE = bool(os.environ.get("UPDATE"))
LARGEST = 60_000  # bytes of a picture

Names = dict[str, Any]


def first_classifier(made: Names) -> None:
    assert (len(made["images"]), len(made["truth"])) == (15, 50)
    assert made["accuracy"] >= 0.96
    assert made["accuracy"] > made["control"] + 0.1


def maml(made: Names) -> None:
    ours, scratch = made["found"].evaluations
    assert ours.mean + ours.ci95 < 0.6 * (scratch.mean - scratch.ci95)
    assert made["errors"]["MAML, 1 step"] < 0.4 * made["errors"]["MAML, 0 steps"]
    assert made["errors"]["MAML, 1 step"] < made["errors"]["from scratch"]


def learned_optimizer(made: Names) -> None:
    plain, heavy, learned = (losses[-1] for losses in made["curves"].values())
    assert learned < 0.5 * min(plain, heavy)
    assert abs(learned / made["grid"] - 1) < 0.3, "a grid over two numbers finds the same"


def example_weights(made: Names) -> None:
    assert made["found"] > 0.9
    dirty, checked, kept, right = made["accuracies"].values()
    assert dirty + 0.1 < kept <= right + 0.02
    assert abs(kept - checked) < 0.04, "what the text says of the control"


def uncertainty(made: Names) -> None:
    assert made["without"] + 0.4 < made["likelihood"] < made["exact"] - 0.4
    assert 0.93 < made["inside"] < 0.985
    assert made["among"] < 0.7 * made["beyond"]


def select(made: Names) -> None:
    scores, picked = made["scores"], made["picked"]
    assert scores.shape == (4, 42)
    assert all(row[index] > np.nanmean(row) for row, index in zip(scores, picked, strict=True))


def own_learner(made: Names) -> None:
    assert made["after"].mean - made["after"].ci95 > made["before"].mean + made["before"].ci95
    assert len(made["passed"]) > 10
    assert re.match("Forgetful fails the check `order`", made["caught"]), made["caught"]


CLAIMS: dict[str, Callable[[Names], None]] = {
    one.__name__: one for one in (first_classifier, maml, learned_optimizer, example_weights, uncertainty, select, own_learner)
}


@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_is_made_from_its_page(name):
    path = GALLERY / f"{name}.ipynb"
    if UPDATE:
        path.write_text(notebook(name), encoding="utf-8")
    assert path.read_text(encoding="utf-8") == notebook(name)


@pytest.mark.filterwarnings("ignore:.*the others of its class contradict:quickstudy.errors.DataWarning")  # the page says so
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_and_its_claim_holds(name, tmp_path, monkeypatch):
    mpl.use("Agg")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(123)  # a notebook draws the same numbers wherever its reader's generator was
    made = run(GALLERY / f"{name}.ipynb")
    CLAIMS[name](made)
    if UPDATE:
        save(made["figure"], name)
    mpl.pyplot.close("all")


def save(figure: Any, name: str) -> None:
    """The picture of the page and the index, in few colours, which a diagram is content with."""
    path = PICTURES / f"gallery_{name}.png"
    figure.savefig(path, dpi=110)
    Image.open(path).convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(path, optimize=True)


def test_every_page_has_its_claim_its_picture_and_its_place():
    index, nav = text_of("index"), (GALLERY.parents[1] / "mkdocs.yml").read_text(encoding="utf-8")
    assert sorted(CLAIMS) == NAMES
    for name in NAMES:
        picture = PICTURES / f"gallery_{name}.png"
        with Image.open(picture) as image:
            assert image.format == "PNG"
        assert picture.stat().st_size < LARGEST
        assert f"](../pictures/{picture.name})" in text_of(name)
        assert f"](../pictures/{picture.name})" in index
        assert f"]({name}.md)" in index
        assert f"gallery/{name}.md" in nav


def test_the_reader_of_pages():
    text = (
        "# Title\n\n[As a notebook](a.ipynb)\n\n![P](b.png)\n\nText.\n\n```python\na = 1\n```\n\n```python\nb = a\n```\n\nEnd.\n"
    )
    assert cells(text) == [("markdown", "# Title\n\nText."), ("code", "a = 1"), ("code", "b = a"), ("markdown", "End.")]
