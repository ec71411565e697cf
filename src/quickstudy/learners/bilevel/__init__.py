"""Learners that train a student in a whole training run and meta-learn parts of that run."""

from quickstudy.learners.bilevel.architecture import Architecture as Architecture
from quickstudy.learners.bilevel.augmentation_policy import AugmentationPolicy as AugmentationPolicy
from quickstudy.learners.bilevel.example_weights import LearningToReweight as LearningToReweight
from quickstudy.learners.bilevel.example_weights import MetaWeightNet as MetaWeightNet
from quickstudy.learners.bilevel.example_weights import WeightPerExample as WeightPerExample
from quickstudy.learners.bilevel.hyperparameters import ConcreteDropout as ConcreteDropout
from quickstudy.learners.bilevel.hyperparameters import LabelSmoothing as LabelSmoothing
from quickstudy.learners.bilevel.hyperparameters import Schedule as Schedule
from quickstudy.learners.bilevel.hyperparameters import WeightDecay as WeightDecay
from quickstudy.learners.bilevel.learned_loss import LearnedLoss as LearnedLoss
from quickstudy.learners.bilevel.learned_mlp_rule import MLPRule as MLPRule
from quickstudy.learners.bilevel.learned_momentum import LearnedMomentum as LearnedMomentum
from quickstudy.learners.bilevel.learned_rule import LSTMRule as LSTMRule
from quickstudy.learners.bilevel.learned_training import LearnedTraining as LearnedTraining
from quickstudy.learners.bilevel.training_run import TrainingRun as TrainingRun
