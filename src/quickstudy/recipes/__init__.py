"""The field's names as an index: one page each with equation, citation, the paper's number and a short composition."""

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
