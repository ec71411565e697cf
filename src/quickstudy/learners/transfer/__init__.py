"""Baselines: pre-trained embeddings with simple heads, class means, and training from scratch."""

from quickstudy.learners.transfer.backbone import from_backbone as from_backbone
from quickstudy.learners.transfer.cosine_probe import CosineProbe as CosineProbe
from quickstudy.learners.transfer.fine_tune import FineTune as FineTune
from quickstudy.learners.transfer.from_scratch import FromScratch as FromScratch
from quickstudy.learners.transfer.nearest_centroid import NearestCentroid as NearestCentroid
from quickstudy.learners.transfer.pretext import CosineClassifier as CosineClassifier
from quickstudy.learners.transfer.pretext import Projection as Projection
from quickstudy.learners.transfer.probe import Probe as Probe
