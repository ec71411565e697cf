"""Learn by comparing with the support."""

from quickstudy.learners.compare.centroid import CentredCentroid as CentredCentroid
from quickstudy.learners.compare.comparison import Comparison as Comparison
from quickstudy.learners.compare.feat import FEAT as FEAT
from quickstudy.learners.compare.feat import SetToSet as SetToSet
from quickstudy.learners.compare.learned_metric import LearnedMetric as LearnedMetric
from quickstudy.learners.compare.learned_metric import Mahalanobis as Mahalanobis
from quickstudy.learners.compare.learned_metric import ScaledDistance as ScaledDistance
from quickstudy.learners.compare.matching import FullContext as FullContext
from quickstudy.learners.compare.matching import MatchingNetwork as MatchingNetwork
from quickstudy.learners.compare.prototypical import Prototypical as Prototypical
from quickstudy.learners.compare.relation import RelationNetwork as RelationNetwork
from quickstudy.learners.compare.zero_shot import ZeroShot as ZeroShot
