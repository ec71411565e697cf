"""p(tasks): where tasks come from. N-way K-shot episodes from labelled data, splits, and the data sets."""

from quickstudy.tasks.distribution import LabelledTasks as LabelledTasks
from quickstudy.tasks.distribution import TaskDistribution as TaskDistribution
from quickstudy.tasks.distribution import TaskFamily as TaskFamily
from quickstudy.tasks.omniglot import Omniglot as Omniglot
from quickstudy.tasks.sinusoid import Sinusoid as Sinusoid
from quickstudy.tasks.strokes import Strokes as Strokes
