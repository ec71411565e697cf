"""Learn by gradient descent."""

from quickstudy.learners.descend.annealing import Annealing as Annealing
from quickstudy.learners.descend.curvature import Curvature as Curvature
from quickstudy.learners.descend.descent import Descent as Descent
from quickstudy.learners.descend.generated_head import GeneratedHead as GeneratedHead
from quickstudy.learners.descend.hypergradient import FirstOrder as FirstOrder
from quickstudy.learners.descend.hypergradient import Hypergradient as Hypergradient
from quickstudy.learners.descend.hypergradient import Truncated as Truncated
from quickstudy.learners.descend.hypergradient import Unrolled as Unrolled
from quickstudy.learners.descend.implicit import Implicit as Implicit
from quickstudy.learners.descend.leo import LEO as LEO
from quickstudy.learners.descend.meta_lstm import MetaLSTM as MetaLSTM
from quickstudy.learners.descend.prototype_head import PrototypeHead as PrototypeHead
from quickstudy.learners.descend.rates import LearnedRates as LearnedRates
from quickstudy.learners.descend.rule import SGD as SGD
from quickstudy.learners.descend.rule import Adam as Adam
from quickstudy.learners.descend.rule import InnerRule as InnerRule
from quickstudy.learners.descend.rule import Momentum as Momentum
