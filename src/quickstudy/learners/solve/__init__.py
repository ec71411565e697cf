"""Learn by solving for a head exactly."""

from quickstudy.learners.solve.alignment import Alignment as Alignment
from quickstudy.learners.solve.feature_heads import LogisticHead as LogisticHead
from quickstudy.learners.solve.feature_heads import RidgeHead as RidgeHead
from quickstudy.learners.solve.logistic import Logistic as Logistic
from quickstudy.learners.solve.ridge import Ridge as Ridge
from quickstudy.learners.solve.svm import SVM as SVM
