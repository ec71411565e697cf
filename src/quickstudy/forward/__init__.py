"""One forward pass: the tensors a network runs with, the statistics its norms use, the random numbers it draws."""

from quickstudy.forward.blueprint import Blueprint as Blueprint
from quickstudy.forward.blueprint import Hidden as Hidden
from quickstudy.forward.blueprint import share as share
from quickstudy.forward.call import Parameters as Parameters
from quickstudy.forward.call import apply as apply
from quickstudy.forward.call import call as call
from quickstudy.forward.call import plain as plain
from quickstudy.forward.call import run as run
from quickstudy.forward.call import tensor_of as tensor_of
from quickstudy.forward.call import with_tensors as with_tensors
from quickstudy.forward.context import NORMALISATIONS as NORMALISATIONS
from quickstudy.forward.context import Context as Context
from quickstudy.forward.context import Normalisation as Normalisation
from quickstudy.forward.context import Source as Source
from quickstudy.forward.context import check_normalisation as check_normalisation
from quickstudy.forward.context import source as source
from quickstudy.forward.mode import Forward as Forward
from quickstudy.forward.mode import Statistics as Statistics
