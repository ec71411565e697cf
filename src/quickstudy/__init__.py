"""quickstudy: train learning algorithms on many small tasks, so that a new task needs a handful of examples.

phi*  =  argmin_phi  E_{task ~ p(tasks)} [ L( F_phi(support), query ) ]
"""

import typing as _typing

from quickstudy import evaluation as evaluation
from quickstudy import learners as learners
from quickstudy import linear_solvers as linear_solvers
from quickstudy import meta as meta
from quickstudy import models as models
from quickstudy import optim as optim
from quickstudy import targets as targets
from quickstudy import tasks as tasks
from quickstudy.artifacts.run import Run as Run
from quickstudy.artifacts.store import load as load
from quickstudy.diagnostics.check_model import check_model as check_model
from quickstudy.diagnostics.diagnose import diagnose as diagnose
from quickstudy.episode import Episode as Episode
from quickstudy.episode import Examples as Examples
from quickstudy.evaluation.calibration import calibrate as calibrate
from quickstudy.evaluation.compare import compare as compare
from quickstudy.evaluation.evaluate import evaluate as evaluate
from quickstudy.learners.descend.hypergradient import FirstOrder as FirstOrder
from quickstudy.learners.descend.hypergradient import Truncated as Truncated
from quickstudy.learners.descend.hypergradient import Unrolled as Unrolled
from quickstudy.learners.descend.implicit import Implicit as Implicit
from quickstudy.learners.learner import Learner as Learner
from quickstudy.learners.predictor import Predictor as Predictor
from quickstudy.learners.transfer.backbone import from_backbone as from_backbone
from quickstudy.meta.estimators.backprop import Backprop as Backprop
from quickstudy.meta.estimators.evolution import Evolution as Evolution
from quickstudy.meta.gradient import meta_gradient as meta_gradient
from quickstudy.meta.loop.meta_train import meta_train as meta_train
from quickstudy.meta.outer.outer import Gradient as Gradient

if _typing.TYPE_CHECKING:
    from quickstudy.domains.tables import select as select
    from quickstudy.sklearn import FewShotClassifier as FewShotClassifier
    from quickstudy.sklearn import FewShotRegressor as FewShotRegressor

# isort: split
# ---- from registry.METHODS: `UPDATE=1 pytest tests/test_methods.py` writes these lines ----
from quickstudy.domains.images.contrastive_pretrain import ContrastivePretrain as ContrastivePretrain
from quickstudy.domains.tables.prior_fitted import PriorFitted as PriorFitted
from quickstudy.domains.text.strings.transducer import Transducer as Transducer
from quickstudy.learners.bilevel.architecture import Architecture as Architecture
from quickstudy.learners.bilevel.learned_training import LearnedTraining as LearnedTraining
from quickstudy.learners.compare.feat import FEAT as FEAT
from quickstudy.learners.compare.learned_metric import LearnedMetric as LearnedMetric
from quickstudy.learners.compare.matching import MatchingNetwork as MatchingNetwork
from quickstudy.learners.compare.prototypical import Prototypical as Prototypical
from quickstudy.learners.compare.relation import RelationNetwork as RelationNetwork
from quickstudy.learners.compare.zero_shot import ZeroShot as ZeroShot
from quickstudy.learners.descend.descent import Descent as Descent
from quickstudy.learners.descend.leo import LEO as LEO
from quickstudy.learners.descend.meta_lstm import MetaLSTM as MetaLSTM
from quickstudy.learners.read.hypernetwork import Hypernetwork as Hypernetwork
from quickstudy.learners.read.in_context import InContext as InContext
from quickstudy.learners.read.mann import MANN as MANN
from quickstudy.learners.read.neural_process import NeuralProcess as NeuralProcess
from quickstudy.learners.read.neural_process import NeuralProcessClassifier as NeuralProcessClassifier
from quickstudy.learners.read.snail import SNAIL as SNAIL
from quickstudy.learners.solve.ridge import Ridge as Ridge
from quickstudy.learners.transfer.from_scratch import FromScratch as FromScratch
from quickstudy.learners.transfer.nearest_centroid import NearestCentroid as NearestCentroid
from quickstudy.learners.wrap.ensemble import Ensemble as Ensemble
from quickstudy.recipes.anil import ANIL as ANIL
from quickstudy.recipes.baseline_plus_plus import BaselinePlusPlus as BaselinePlusPlus
from quickstudy.recipes.boil import BOIL as BOIL
from quickstudy.recipes.cavia import CAVIA as CAVIA
from quickstudy.recipes.fomaml import FOMAML as FOMAML
from quickstudy.recipes.imaml import IMAML as IMAML
from quickstudy.recipes.joint_training import JointTraining as JointTraining
from quickstudy.recipes.linear_probe import LinearProbe as LinearProbe
from quickstudy.recipes.lr_d2 import LRD2 as LRD2
from quickstudy.recipes.maml import MAML as MAML
from quickstudy.recipes.maml_plus_plus import MAMLPlusPlus as MAMLPlusPlus
from quickstudy.recipes.meta_curvature import MetaCurvature as MetaCurvature
from quickstudy.recipes.metaoptnet import MetaOptNet as MetaOptNet
from quickstudy.recipes.metasgd import MetaSGD as MetaSGD
from quickstudy.recipes.pretrain_fine_tune import PretrainFineTune as PretrainFineTune
from quickstudy.recipes.proto_maml import ProtoMAML as ProtoMAML
from quickstudy.recipes.r2d2 import R2D2 as R2D2
from quickstudy.recipes.reptile import Reptile as Reptile
from quickstudy.recipes.simpleshot import SimpleShot as SimpleShot

# ---- to here ----

__version__ = "0.1.0"

__all__ = [
    "ANIL",
    "Architecture",
    "BOIL",
    "Backprop",
    "BaselinePlusPlus",
    "CAVIA",
    "ContrastivePretrain",
    "Descent",
    "Ensemble",
    "Episode",
    "Evolution",
    "Examples",
    "FEAT",
    "FOMAML",
    "FewShotClassifier",
    "FewShotRegressor",
    "FirstOrder",
    "FromScratch",
    "Gradient",
    "Hypernetwork",
    "IMAML",
    "Implicit",
    "InContext",
    "JointTraining",
    "LEO",
    "LRD2",
    "LearnedMetric",
    "LearnedTraining",
    "Learner",
    "LinearProbe",
    "MAML",
    "MAMLPlusPlus",
    "MANN",
    "MatchingNetwork",
    "MetaCurvature",
    "MetaLSTM",
    "MetaOptNet",
    "MetaSGD",
    "NearestCentroid",
    "NeuralProcess",
    "NeuralProcessClassifier",
    "Predictor",
    "PretrainFineTune",
    "PriorFitted",
    "ProtoMAML",
    "Prototypical",
    "R2D2",
    "RelationNetwork",
    "Reptile",
    "Ridge",
    "Run",
    "SNAIL",
    "SimpleShot",
    "Transducer",
    "Truncated",
    "Unrolled",
    "ZeroShot",
    "__version__",
    "calibrate",
    "check_model",
    "compare",
    "diagnose",
    "evaluate",
    "evaluation",
    "from_backbone",
    "learners",
    "linear_solvers",
    "load",
    "meta",
    "meta_gradient",
    "meta_train",
    "models",
    "optim",
    "select",
    "targets",
    "tasks",
]


def __getattr__(name: str) -> object:
    """Import FewShotClassifier and FewShotRegressor, which need scikit-learn, and `select` only when they are used."""
    if name in ("FewShotClassifier", "FewShotRegressor"):
        import quickstudy.sklearn

        return getattr(quickstudy.sklearn, name)
    if name == "select":
        from quickstudy.domains.tables import select

        return select
    raise AttributeError(f"module 'quickstudy' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Every name, those that are imported only when they are used too."""
    return sorted({*globals(), *__all__})
