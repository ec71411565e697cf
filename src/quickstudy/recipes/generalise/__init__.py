"""Domain generalisation by the field's names: a network trained across domains, which answers without a support.

GroupDRO, FeatureCritic and MetaReg are learners of their own: see `quickstudy.learners.generalise`.
"""

from quickstudy.recipes.generalise.erm import ERM as ERM
from quickstudy.recipes.generalise.fish import Fish as Fish
from quickstudy.recipes.generalise.mldg import MLDG as MLDG
