"""The outer loop: meta_train, its state and result, model selection."""

from quickstudy.meta.loop.result import TrainingResult as TrainingResult
