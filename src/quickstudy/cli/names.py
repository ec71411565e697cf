"""What the command line calls things: names to the library's own functions and classes. Options come from their signatures."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import quickstudy as qs
from quickstudy.errors import ArgumentError

LEARNERS: dict[str, Callable] = {
    "maml": qs.MAML,
    "fomaml": qs.FOMAML,
    "anil": qs.ANIL,
    "metasgd": qs.MetaSGD,
    "reptile": qs.Reptile,
    "imaml": qs.IMAML,
    "prototypical": qs.Prototypical,
    "from_scratch": qs.FromScratch,
    "pretrain_fine_tune": qs.PretrainFineTune,
    "contrastive_pretrain": qs.ContrastivePretrain,
    "linear_probe": qs.LinearProbe,
    "nearest_centroid": qs.NearestCentroid,
    "joint_training": qs.JointTraining,
}
TASKS: dict[str, Callable] = {
    "omniglot": qs.tasks.Omniglot,
    "strokes": qs.tasks.Strokes,
    "sinusoid": qs.tasks.Sinusoid,
    "folder": qs.tasks.from_folder,
    "csv": qs.tasks.from_csv,
}
NETWORKS: dict[str, Callable] = {"conv4": qs.models.conv4, "resnet12": qs.models.resnet12, "mlp": qs.models.mlp}
DEFAULT_NETWORK = {"sinusoid": "mlp"}  # conv4 where nothing is said


def named(kind: str, name: str, table: Mapping[str, Callable]) -> Callable:
    """The entry `name` of a table, or ArgumentError with those there are."""
    if name not in table:
        raise ArgumentError(kind, expected="one of " + ", ".join(table), got=name, do="Take one of these names.")
    return table[name]
