"""p(tasks): where tasks come from. N-way K-shot episodes from labelled data, splits, and the data sets."""

from quickstudy.tasks.distribution import LabelledTasks as LabelledTasks
from quickstudy.tasks.family import TaskFamily as TaskFamily
from quickstudy.tasks.gaussian_classes import GaussianClasses as GaussianClasses
from quickstudy.tasks.gaussian_classes import bayes_accuracy as bayes_accuracy
from quickstudy.tasks.interface import TaskDistribution as TaskDistribution
from quickstudy.tasks.omniglot import Omniglot as Omniglot
from quickstudy.tasks.quadratic import Quadratic as Quadratic
from quickstudy.tasks.quadratic import half_squares as half_squares
from quickstudy.tasks.quadratic import quadratic_of as quadratic_of
from quickstudy.tasks.sinusoid import Sinusoid as Sinusoid
from quickstudy.tasks.splits import random_split as random_split
from quickstudy.tasks.splits import read_split as read_split
from quickstudy.tasks.strokes import Strokes as Strokes
