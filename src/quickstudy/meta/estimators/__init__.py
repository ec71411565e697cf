"""Estimators of the meta-gradient."""

from quickstudy.meta.estimator import Estimator as Estimator
from quickstudy.meta.estimators.backprop import Backprop as Backprop
from quickstudy.meta.estimators.evolution import Evolution as Evolution
from quickstudy.meta.estimators.evolution import PersistentEvolution as PersistentEvolution
from quickstudy.meta.estimators.fixed_point import FixedPoint as FixedPoint
from quickstudy.meta.estimators.forward_mode import ForwardMode as ForwardMode
from quickstudy.meta.estimators.lookahead import Lookahead as Lookahead
from quickstudy.meta.estimators.pretraining import Joint as Joint
from quickstudy.meta.estimators.pretraining import Supervised as Supervised
from quickstudy.meta.estimators.reptile_direction import ReptileDirection as ReptileDirection
from quickstudy.meta.estimators.score_function import ScoreFunction as ScoreFunction
