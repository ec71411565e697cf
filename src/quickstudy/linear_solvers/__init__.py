"""Solvers of  H u = v: for implicit gradients and fixed points."""

from quickstudy.linear_solvers.conjugate_gradient import ConjugateGradient as ConjugateGradient
from quickstudy.linear_solvers.exact import Exact as Exact
from quickstudy.linear_solvers.identity import Identity as Identity
from quickstudy.linear_solvers.neumann import Neumann as Neumann
from quickstudy.linear_solvers.solver import Product as Product
from quickstudy.linear_solvers.solver import Solver as Solver
from quickstudy.linear_solvers.solver import dot as dot
from quickstudy.linear_solvers.solver import refuse as refuse
from quickstudy.linear_solvers.solver import unreadable as unreadable
