"""quickstudy: train learning algorithms on many small tasks, so that a new task needs a handful of examples.

phi*  =  argmin_phi  E_{task ~ p(tasks)} [ L( F_phi(support), query ) ]
"""

from quickstudy import models as models
from quickstudy import optim as optim
from quickstudy import targets as targets
from quickstudy import tasks as tasks
from quickstudy.artifacts.run import Run as Run
from quickstudy.artifacts.store import load as load
from quickstudy.choice import Choice as Choice
from quickstudy.diagnostics.check_model import check_model as check_model
from quickstudy.diagnostics.diagnose import diagnose as diagnose
from quickstudy.domains.images.contrastive import Contrastive as Contrastive
from quickstudy.domains.images.contrastive_pretrain import ContrastivePretrain as ContrastivePretrain
from quickstudy.domains.images.views import Augmentation as Augmentation
from quickstudy.domains.tables.prior_fitted import PriorFitted as PriorFitted
from quickstudy.episode import Episode as Episode
from quickstudy.episode import Examples as Examples
from quickstudy.evaluation.calibration import Calibration as Calibration
from quickstudy.evaluation.calibration import calibrate as calibrate
from quickstudy.evaluation.compare import compare as compare
from quickstudy.evaluation.evaluate import Evaluation as Evaluation
from quickstudy.evaluation.evaluate import evaluate as evaluate
from quickstudy.evaluation.ood_scores import Energy as Energy
from quickstudy.evaluation.ood_scores import MaxProbability as MaxProbability
from quickstudy.evaluation.reliability import Reliability as Reliability
from quickstudy.evaluation.reliability import reliability as reliability
from quickstudy.learners.bilevel.architecture import Architecture as Architecture
from quickstudy.learners.bilevel.architecture import Mixed as Mixed
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
from quickstudy.learners.bilevel.search_space import SearchCell as SearchCell
from quickstudy.learners.bilevel.search_space import search_cell as search_cell
from quickstudy.learners.bilevel.search_space import search_conv as search_conv
from quickstudy.learners.bilevel.training_run import TrainingRun as TrainingRun
from quickstudy.learners.compare.centroid import CentredCentroid as CentredCentroid
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
from quickstudy.learners.descend.adapter import LoRA as LoRA
from quickstudy.learners.descend.annealing import Annealing as Annealing
from quickstudy.learners.descend.context import ContextConv4 as ContextConv4
from quickstudy.learners.descend.context import FiLM as FiLM
from quickstudy.learners.descend.context import WithContext as WithContext
from quickstudy.learners.descend.curvature import Curvature as Curvature
from quickstudy.learners.descend.descent import Descent as Descent
from quickstudy.learners.descend.hypergradient import FirstOrder as FirstOrder
from quickstudy.learners.descend.hypergradient import Truncated as Truncated
from quickstudy.learners.descend.hypergradient import Unrolled as Unrolled
from quickstudy.learners.descend.implicit import Implicit as Implicit
from quickstudy.learners.descend.leo import LEO as LEO
from quickstudy.learners.descend.meta_lstm import MetaLSTM as MetaLSTM
from quickstudy.learners.descend.prototype_head import PrototypeHead as PrototypeHead
from quickstudy.learners.descend.rates import LearnedRates as LearnedRates
from quickstudy.learners.descend.rule import SGD as SGD
from quickstudy.learners.descend.rule import Adam as Adam
from quickstudy.learners.descend.rule import Momentum as Momentum
from quickstudy.learners.learner import Learner as Learner
from quickstudy.learners.predictor import Predictor as Predictor
from quickstudy.learners.read.hypernetwork import Hypernetwork as Hypernetwork
from quickstudy.learners.read.in_context import InContext as InContext
from quickstudy.learners.read.mann import MANN as MANN
from quickstudy.learners.read.neural_process import CrossAttention as CrossAttention
from quickstudy.learners.read.neural_process import MeanPooling as MeanPooling
from quickstudy.learners.read.neural_process import NeuralProcess as NeuralProcess
from quickstudy.learners.read.neural_process import NeuralProcessClassifier as NeuralProcessClassifier
from quickstudy.learners.read.snail import SNAIL as SNAIL
from quickstudy.learners.solve.logistic import Logistic as Logistic
from quickstudy.learners.solve.ridge import Ridge as Ridge
from quickstudy.learners.solve.svm import SVM as SVM
from quickstudy.learners.transfer.backbone import from_backbone as from_backbone
from quickstudy.learners.transfer.cosine_probe import CosineProbe as CosineProbe
from quickstudy.learners.transfer.fine_tune import FineTune as FineTune
from quickstudy.learners.transfer.from_scratch import FromScratch as FromScratch
from quickstudy.learners.transfer.nearest_centroid import NearestCentroid as NearestCentroid
from quickstudy.learners.transfer.pretext import CosineClassifier as CosineClassifier
from quickstudy.learners.transfer.pretext import Projection as Projection
from quickstudy.learners.transfer.probe import Probe as Probe
from quickstudy.learners.wrap.ensemble import Ensemble as Ensemble
from quickstudy.learners.wrap.standardised import Standardised as Standardised
from quickstudy.learners.wrap.tables import Tables as Tables
from quickstudy.linear_solvers import ConjugateGradient as ConjugateGradient
from quickstudy.linear_solvers import Exact as Exact
from quickstudy.linear_solvers import Identity as Identity
from quickstudy.linear_solvers import Neumann as Neumann
from quickstudy.meta.estimators.estimator import Backprop as Backprop
from quickstudy.meta.estimators.estimator import ReptileDirection as ReptileDirection
from quickstudy.meta.estimators.evolution import Evolution as Evolution
from quickstudy.meta.estimators.evolution import PersistentEvolution as PersistentEvolution
from quickstudy.meta.estimators.fixed_point import FixedPoint as FixedPoint
from quickstudy.meta.estimators.forward_mode import ForwardMode as ForwardMode
from quickstudy.meta.estimators.lookahead import Lookahead as Lookahead
from quickstudy.meta.estimators.pretraining import Joint as Joint
from quickstudy.meta.estimators.pretraining import Supervised as Supervised
from quickstudy.meta.estimators.score_function import ScoreFunction as ScoreFunction
from quickstudy.meta.executors import Compiled as Compiled
from quickstudy.meta.executors import Loop as Loop
from quickstudy.meta.executors import Threads as Threads
from quickstudy.meta.executors import Vmap as Vmap
from quickstudy.meta.gradient import meta_gradient as meta_gradient
from quickstudy.meta.loop.meta_train import meta_train as meta_train
from quickstudy.meta.loop.result import TrainingResult as TrainingResult
from quickstudy.meta.outer.outer import Gradient as Gradient
from quickstudy.meta.searches.cmaes import CMAES as CMAES
from quickstudy.meta.searches.population_based import PopulationBased as PopulationBased
from quickstudy.meta.searches.regularised_evolution import RandomSearch as RandomSearch
from quickstudy.meta.searches.regularised_evolution import RegularisedEvolution as RegularisedEvolution
from quickstudy.recipes import ANIL as ANIL
from quickstudy.recipes import BOIL as BOIL
from quickstudy.recipes import CAVIA as CAVIA
from quickstudy.recipes import FOMAML as FOMAML
from quickstudy.recipes import IMAML as IMAML
from quickstudy.recipes import LRD2 as LRD2
from quickstudy.recipes import MAML as MAML
from quickstudy.recipes import R2D2 as R2D2
from quickstudy.recipes import BaselinePlusPlus as BaselinePlusPlus
from quickstudy.recipes import JointTraining as JointTraining
from quickstudy.recipes import LinearProbe as LinearProbe
from quickstudy.recipes import MAMLPlusPlus as MAMLPlusPlus
from quickstudy.recipes import MetaCurvature as MetaCurvature
from quickstudy.recipes import MetaOptNet as MetaOptNet
from quickstudy.recipes import MetaSGD as MetaSGD
from quickstudy.recipes import PretrainFineTune as PretrainFineTune
from quickstudy.recipes import ProtoMAML as ProtoMAML
from quickstudy.recipes import Reptile as Reptile
from quickstudy.recipes import SimpleShot as SimpleShot

__version__ = "0.1.0"

__all__ = [
    "ANIL",
    "Adam",
    "Annealing",
    "Architecture",
    "Augmentation",
    "AugmentationPolicy",
    "BOIL",
    "Backprop",
    "BaselinePlusPlus",
    "CAVIA",
    "CMAES",
    "Calibration",
    "CentredCentroid",
    "Choice",
    "Compiled",
    "ConcreteDropout",
    "ConjugateGradient",
    "ContextConv4",
    "Contrastive",
    "ContrastivePretrain",
    "CosineClassifier",
    "CosineProbe",
    "CrossAttention",
    "Curvature",
    "Descent",
    "Energy",
    "Ensemble",
    "Episode",
    "Evaluation",
    "Evolution",
    "Exact",
    "Examples",
    "FEAT",
    "FOMAML",
    "FewShotClassifier",
    "FewShotRegressor",
    "FiLM",
    "FineTune",
    "FirstOrder",
    "FixedPoint",
    "ForwardMode",
    "FromScratch",
    "FullContext",
    "Gradient",
    "Hypernetwork",
    "IMAML",
    "Identity",
    "Implicit",
    "InContext",
    "Joint",
    "JointTraining",
    "LEO",
    "LRD2",
    "LSTMRule",
    "LabelSmoothing",
    "LearnedLoss",
    "LearnedMetric",
    "LearnedMomentum",
    "LearnedRates",
    "LearnedTraining",
    "Learner",
    "LearningToReweight",
    "LinearProbe",
    "LoRA",
    "Logistic",
    "Lookahead",
    "Loop",
    "MAML",
    "MAMLPlusPlus",
    "MANN",
    "MLPRule",
    "Mahalanobis",
    "MatchingNetwork",
    "MaxProbability",
    "MeanPooling",
    "MetaCurvature",
    "MetaLSTM",
    "MetaOptNet",
    "MetaSGD",
    "MetaWeightNet",
    "Mixed",
    "Momentum",
    "NearestCentroid",
    "Neumann",
    "NeuralProcess",
    "NeuralProcessClassifier",
    "PersistentEvolution",
    "PopulationBased",
    "Predictor",
    "PretrainFineTune",
    "PriorFitted",
    "Probe",
    "Projection",
    "ProtoMAML",
    "PrototypeHead",
    "Prototypical",
    "R2D2",
    "RandomSearch",
    "RegularisedEvolution",
    "RelationNetwork",
    "Reliability",
    "Reptile",
    "ReptileDirection",
    "Ridge",
    "Run",
    "SGD",
    "SNAIL",
    "SVM",
    "ScaledDistance",
    "Schedule",
    "ScoreFunction",
    "SearchCell",
    "SetToSet",
    "SimpleShot",
    "Standardised",
    "Supervised",
    "Tables",
    "Threads",
    "TrainingResult",
    "TrainingRun",
    "Truncated",
    "Unrolled",
    "Vmap",
    "WeightDecay",
    "WeightPerExample",
    "WithContext",
    "ZeroShot",
    "__version__",
    "calibrate",
    "check_model",
    "compare",
    "diagnose",
    "evaluate",
    "from_backbone",
    "load",
    "meta_gradient",
    "meta_train",
    "models",
    "optim",
    "reliability",
    "search_cell",
    "search_conv",
    "targets",
    "tasks",
]


def __getattr__(name: str) -> object:
    """FewShotClassifier and FewShotRegressor, which need scikit-learn, are imported when they are asked for."""
    if name in ("FewShotClassifier", "FewShotRegressor"):
        import quickstudy.sklearn

        return getattr(quickstudy.sklearn, name)
    if name == "select":
        from quickstudy.domains.tables import select

        return select
    raise AttributeError(f"module 'quickstudy' has no attribute {name!r}")
