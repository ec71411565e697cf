"""The outer loop: meta_train, what it keeps, the outer methods that take gradients."""

from quickstudy.meta.loop.result import TrainingResult as TrainingResult
