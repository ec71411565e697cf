"""Evaluation on unseen tasks: scores with 95 % intervals, paired comparison, calibration."""

from quickstudy.evaluation.calibration import Calibration as Calibration
from quickstudy.evaluation.evaluate import Evaluation as Evaluation
from quickstudy.evaluation.ood_scores import Energy as Energy
from quickstudy.evaluation.ood_scores import MaxProbability as MaxProbability
from quickstudy.evaluation.reliability_curve import Reliability as Reliability
from quickstudy.evaluation.reliability_curve import reliability as reliability
