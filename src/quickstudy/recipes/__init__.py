"""The field's names as an index: one page each with equation, citation, the paper's number and a short composition."""

from quickstudy.recipes.anil import ANIL as ANIL
from quickstudy.recipes.contrastive_pretrain import ContrastivePretrain as ContrastivePretrain
from quickstudy.recipes.fomaml import FOMAML as FOMAML
from quickstudy.recipes.imaml import IMAML as IMAML
from quickstudy.recipes.joint_training import JointTraining as JointTraining
from quickstudy.recipes.linear_probe import LinearProbe as LinearProbe
from quickstudy.recipes.maml import MAML as MAML
from quickstudy.recipes.metasgd import MetaSGD as MetaSGD
from quickstudy.recipes.pretrain_fine_tune import PretrainFineTune as PretrainFineTune
from quickstudy.recipes.reptile import Reptile as Reptile
