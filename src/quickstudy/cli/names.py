"""What the command line calls things: names to the library's own functions and classes. Options come from their signatures."""

from __future__ import annotations

from collections.abc import Callable

import quickstudy as qs
from quickstudy.registry import named as named
from quickstudy.registry import sources

LEARNERS: dict[str, Callable] = {
    # by descending
    "maml": qs.MAML,
    "fomaml": qs.FOMAML,
    "anil": qs.ANIL,
    "metasgd": qs.MetaSGD,
    "reptile": qs.Reptile,
    "imaml": qs.IMAML,
    "maml_plus_plus": qs.MAMLPlusPlus,
    "boil": qs.BOIL,
    "cavia": qs.CAVIA,
    "meta_curvature": qs.MetaCurvature,
    "meta_lstm": qs.MetaLSTM,
    "proto_maml": qs.ProtoMAML,
    "leo": qs.LEO,
    # by comparing
    "prototypical": qs.Prototypical,
    "matching": qs.MatchingNetwork,
    "relation": qs.RelationNetwork,
    "feat": qs.FEAT,
    # by solving
    "r2d2": qs.R2D2,
    "lr_d2": qs.LRD2,
    "metaoptnet": qs.MetaOptNet,
    # by remembering, and from data to network
    "mann": qs.MANN,
    "snail": qs.SNAIL,
    "neural_process": qs.NeuralProcess,
    "neural_process_classifier": qs.NeuralProcessClassifier,
    "hypernetwork": qs.Hypernetwork,
    "in_context": qs.InContext,
    # the baselines
    "from_scratch": qs.FromScratch,
    "pretrain_fine_tune": qs.PretrainFineTune,
    "contrastive_pretrain": qs.ContrastivePretrain,
    "linear_probe": qs.LinearProbe,
    "nearest_centroid": qs.NearestCentroid,
    "joint_training": qs.JointTraining,
    "baseline_plus_plus": qs.BaselinePlusPlus,
}
TASKS: dict[str, Callable] = sources()
NETWORKS: dict[str, Callable] = {
    "conv4": qs.models.conv4,
    "resnet12": qs.models.resnet12,
    "mlp": qs.models.mlp,
    "context_conv4": qs.ContextConv4,
}
DEFAULT_NETWORK = {"sinusoid": "mlp", "gaussian_process": "mlp"}  # conv4 where nothing is said
