"""quickstudy: train learning algorithms on many small tasks, so that a new task needs a handful of examples.

phi*  =  argmin_phi  E_{task ~ p(tasks)} [ L( F_phi(support), query ) ]
"""

from quickstudy import models as models
from quickstudy import tasks as tasks
from quickstudy.check_model import check_model as check_model
from quickstudy.episode import Episode as Episode
from quickstudy.episode import Examples as Examples
from quickstudy.evaluation.calibration import Calibration as Calibration
from quickstudy.evaluation.calibration import calibrate as calibrate
from quickstudy.evaluation.compare import compare as compare
from quickstudy.evaluation.evaluate import Evaluation as Evaluation
from quickstudy.evaluation.evaluate import evaluate as evaluate
from quickstudy.evaluation.reliability import Reliability as Reliability
from quickstudy.evaluation.reliability import reliability as reliability
from quickstudy.evaluation.unknown import Energy as Energy
from quickstudy.evaluation.unknown import MaxProbability as MaxProbability
from quickstudy.learners.compare.centroid import CentredCentroid as CentredCentroid
from quickstudy.learners.compare.prototypical import Prototypical as Prototypical
from quickstudy.learners.descend.descent import Descent as Descent
from quickstudy.learners.descend.hypergradient import FirstOrder as FirstOrder
from quickstudy.learners.descend.hypergradient import Truncated as Truncated
from quickstudy.learners.descend.hypergradient import Unrolled as Unrolled
from quickstudy.learners.descend.implicit import Implicit as Implicit
from quickstudy.learners.descend.rates import LearnedRates as LearnedRates
from quickstudy.learners.descend.rule import SGD as SGD
from quickstudy.learners.descend.rule import Adam as Adam
from quickstudy.learners.descend.rule import Momentum as Momentum
from quickstudy.learners.descend.solver import ConjugateGradient as ConjugateGradient
from quickstudy.learners.descend.solver import Exact as Exact
from quickstudy.learners.descend.solver import Neumann as Neumann
from quickstudy.learners.learner import Learner as Learner
from quickstudy.learners.predictor import Predictor as Predictor
from quickstudy.learners.solve.ridge import Ridge as Ridge
from quickstudy.learners.transfer.backbone import from_backbone as from_backbone
from quickstudy.learners.transfer.fine_tune import FineTune as FineTune
from quickstudy.learners.transfer.from_scratch import FromScratch as FromScratch
from quickstudy.learners.transfer.nearest_centroid import NearestCentroid as NearestCentroid
from quickstudy.learners.transfer.pretext import CosineClassifier as CosineClassifier
from quickstudy.learners.transfer.pretext import Projection as Projection
from quickstudy.learners.transfer.probe import Probe as Probe
from quickstudy.learners.transfer.standardised import Standardised as Standardised
from quickstudy.meta.augmentation import Augmentation as Augmentation
from quickstudy.meta.estimator import Backprop as Backprop
from quickstudy.meta.estimator import ReptileDirection as ReptileDirection
from quickstudy.meta.executors import Compiled as Compiled
from quickstudy.meta.executors import Loop as Loop
from quickstudy.meta.executors import Threads as Threads
from quickstudy.meta.executors import Vmap as Vmap
from quickstudy.meta.gradient import meta_gradient as meta_gradient
from quickstudy.meta.outer import Gradient as Gradient
from quickstudy.meta.pretraining import Contrastive as Contrastive
from quickstudy.meta.pretraining import Joint as Joint
from quickstudy.meta.pretraining import Supervised as Supervised
from quickstudy.meta.run import Run as Run
from quickstudy.meta.train import meta_train as meta_train
from quickstudy.recipes import ANIL as ANIL
from quickstudy.recipes import FOMAML as FOMAML
from quickstudy.recipes import IMAML as IMAML
from quickstudy.recipes import MAML as MAML
from quickstudy.recipes import ContrastivePretrain as ContrastivePretrain
from quickstudy.recipes import JointTraining as JointTraining
from quickstudy.recipes import LinearProbe as LinearProbe
from quickstudy.recipes import MetaSGD as MetaSGD
from quickstudy.recipes import PretrainFineTune as PretrainFineTune
from quickstudy.recipes import Reptile as Reptile
from quickstudy.store import load as load

__version__ = "0.1.0"

__all__ = [
    "ANIL",
    "Adam",
    "Augmentation",
    "Backprop",
    "Calibration",
    "CentredCentroid",
    "Compiled",
    "ConjugateGradient",
    "Contrastive",
    "ContrastivePretrain",
    "CosineClassifier",
    "Descent",
    "Energy",
    "Episode",
    "Evaluation",
    "Exact",
    "Examples",
    "FOMAML",
    "FewShotClassifier",
    "FewShotRegressor",
    "FineTune",
    "FirstOrder",
    "FromScratch",
    "Gradient",
    "IMAML",
    "Implicit",
    "Joint",
    "JointTraining",
    "LearnedRates",
    "Learner",
    "LinearProbe",
    "Loop",
    "MAML",
    "MaxProbability",
    "MetaSGD",
    "Momentum",
    "NearestCentroid",
    "Neumann",
    "Predictor",
    "PretrainFineTune",
    "Probe",
    "Projection",
    "Prototypical",
    "Reliability",
    "Reptile",
    "ReptileDirection",
    "Ridge",
    "Run",
    "SGD",
    "Standardised",
    "Supervised",
    "Threads",
    "Truncated",
    "Unrolled",
    "Vmap",
    "__version__",
    "calibrate",
    "check_model",
    "compare",
    "evaluate",
    "from_backbone",
    "load",
    "meta_gradient",
    "meta_train",
    "models",
    "reliability",
    "tasks",
]


def __getattr__(name: str) -> object:
    """FewShotClassifier and FewShotRegressor, which need scikit-learn, are imported when they are asked for."""
    if name in ("FewShotClassifier", "FewShotRegressor"):
        import quickstudy.sklearn

        return getattr(quickstudy.sklearn, name)
    raise AttributeError(f"module 'quickstudy' has no attribute {name!r}")
