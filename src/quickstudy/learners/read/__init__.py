"""Learn by reading the support into a memory."""

from quickstudy.learners.read.hypernetwork import Hypernetwork as Hypernetwork
from quickstudy.learners.read.in_context import InContext as InContext
from quickstudy.learners.read.in_context_regressor import InContextRegressor as InContextRegressor
from quickstudy.learners.read.mann import MANN as MANN
from quickstudy.learners.read.neural_process import CrossAttention as CrossAttention
from quickstudy.learners.read.neural_process import MeanPooling as MeanPooling
from quickstudy.learners.read.neural_process import NeuralProcess as NeuralProcess
from quickstudy.learners.read.neural_process import NeuralProcessClassifier as NeuralProcessClassifier
from quickstudy.learners.read.snail import SNAIL as SNAIL
from quickstudy.learners.read.transformer import Transformer as Transformer
