"""A report of a small run on drawn images, and what its tests read it with."""

from __future__ import annotations

import functools
import tempfile
from html.parser import HTMLParser
from pathlib import Path

import torch

import quickstudy as qs
from quickstudy.evaluation import Evaluation
from quickstudy.meta.loop import TrainingResult
from quickstudy.report import write_report

VOID = ("meta", "img")


class Page(HTMLParser):
    """Elements by id, the text under each, and every attribute."""

    def __init__(self, html: str):
        super().__init__()
        self.ids: list[str] = []
        self.texts: dict[str, str] = {}
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[tuple[str, str | None]] = []
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.elements.append((tag, given))
        name = given.get("id")
        if name is not None:
            self.ids.append(name)
            self.texts[name] = ""
        if tag not in VOID:
            self.open.append((tag, name))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop()[0] == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        for _, name in self.open:
            if name is not None:
                self.texts[name] += data

    def classed(self, name: str) -> list[dict[str, str]]:
        return [given for _, given in self.elements if name in given.get("class", "").split()]


@functools.cache
def images() -> qs.tasks.TaskFamily:
    return qs.tasks.Strokes(ways=3, shots=1, queries=4, classes=(6, 4, 4), examples=8, size=16, seed=0)


@functools.cache
def report() -> tuple[Path, Evaluation, list[Evaluation], TrainingResult]:
    """The report's file, its evaluation, its controls and its run."""
    torch.manual_seed(0)
    learner, tasks = qs.MAML(qs.models.mlp(256, 3, hidden=(16,)), inner_lr=0.3, inner_steps=2), images()
    run = qs.meta_train(
        learner, tasks, steps=20, tasks_per_step=4, executor="vmap", validate_every=5, validation_episodes=10, progress=False
    )
    evaluation = qs.evaluate(learner, tasks.test, 40, seed=7, executor="vmap")
    controls = [
        qs.evaluate(qs.NearestCentroid(), tasks.test, 40, seed=7, executor="vmap"),
        qs.evaluate(learner, tasks.test, 40, seed=7, steps=0, executor="vmap"),
    ]
    controls[1].name = "<script>alert('control')</script>"
    path = write_report(
        Path(tempfile.mkdtemp()) / "new" / "report.html",
        learner=learner,
        tasks=tasks,
        history=run.history,
        evaluation=evaluation,
        controls=controls,
        config={"learner": {"name": "maml", "note": "</pre><b>bold & bad</b>"}, "steps": 20},
        episodes=20,
    )
    return path, evaluation, controls, run
