"""Plots of single tasks other than images: a function of one variable, targets against predictions, points in a plane."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from quickstudy.report.example_episodes import ExampleEpisode, Function
from quickstudy.report.pictures import class_name
from quickstudy.report.style import FIRST, INK, MARKERS, MUTED, PAPER, SECOND, SEQUENCE, figure, legend, plain, svg


def function_plot(shown: ExampleEpisode, function: Function, name: str) -> str:
    """Support points, the truth at the queries, and the prediction before and after adaptation, over x."""
    with figure(4.1, 3.4) as (made, (axes,)):
        x, order = shown.query.x.flatten().cpu().sort()
        truth = shown.query.y.flatten().cpu()[order]
        axes.plot(x.tolist(), truth.tolist(), linestyle="none", marker="o", markersize=3, color=MUTED, label="truth (queries)")
        if function.before is not None:
            axes.plot(function.x.tolist(), function.before.tolist(), color=SECOND, linestyle=(0, (4, 2)), label="before")
        axes.plot(function.x.tolist(), function.after.tolist(), color=FIRST, label="after adaptation")
        points = (shown.support.x.flatten().tolist(), shown.support.y.flatten().tolist())
        axes.plot(
            *points, linestyle="none", marker="^", markersize=8, color=INK, markeredgecolor=PAPER, label="support", zorder=4
        )
        axes.set(xlabel="x", ylabel="y")
        legend(made, axes, columns=2)
        return svg(made, name)


def target_plot(shown: ExampleEpisode, name: str) -> str:
    """Predicted against true targets, before and after adaptation."""
    with figure(4.1, 3.8) as (made, (axes,)):
        truth = shown.query.y.flatten().tolist()
        axes.plot([min(truth), max(truth)], [min(truth), max(truth)], color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
        if shown.before is not None:
            before = shown.before.flatten().tolist()
            axes.plot(truth, before, linestyle="none", marker="x", color=SECOND, label="before")
        after = shown.prediction.flatten().tolist()
        axes.plot(truth, after, linestyle="none", marker="o", markersize=4, color=FIRST, label="after adaptation")
        axes.set(xlabel="true target", ylabel="predicted target")
        legend(made, axes, columns=2)
        return svg(made, name)


def plane_plot(shown: ExampleEpisode, name: str) -> str:
    """A task with classes: support large, queries small, wrong ones crossed; more than two features by principal components."""
    with figure(4.1, 3.9) as (made, (axes,)):
        support, query = _in_plane(flat(shown.support.x), flat(shown.query.x))
        for k in range(int(shown.support.ways or 0)):
            colour, marker = SEQUENCE[k % len(SEQUENCE)], MARKERS[k % len(MARKERS)]
            support_points, query_points = support[shown.support.y.cpu() == k], query[shown.query.y.cpu() == k]
            x, y = query_points.T.tolist()
            axes.scatter(x, y, s=16, color=colour, marker=marker, alpha=0.55, linewidths=0)
            x, y = support_points.T.tolist()
            label = f"class {class_name(k)}" if shown.names is None else plain(f" {shown.names[k]}")  # none begins with "_"
            axes.scatter(x, y, s=110, color=colour, marker=marker, edgecolors=INK, linewidths=1.2, zorder=3, label=label)
        x, y = query[~shown.right.cpu()].T.tolist()
        axes.scatter(x, y, s=60, color=INK, marker="x", linewidths=1.4, zorder=4, label="answered wrongly")
        axes.set(xticks=[], yticks=[])
        legend(made, axes, columns=3)
        return svg(made, name)


def flat(x: object) -> Tensor:
    """All features of each example flattened to one row, (examples, features), on the CPU."""
    return torch.cat([leaf.flatten(1).float() for leaf in pytree.tree_leaves(x)], 1).cpu()


def _in_plane(support: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
    """Two coordinates for each point: the features, or their two leading principal components."""
    both = torch.cat([support, query])
    if both.shape[1] == 1:
        both = torch.cat([both, torch.zeros_like(both)], 1)
    if both.shape[1] > 2:
        centred = both - both.mean(0)
        both = centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:2].T
    return both[: len(support)], both[len(support) :]
