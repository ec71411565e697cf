"""Outer methods that take gradients: an estimator, an optimizer of torch, a schedule."""

from quickstudy.meta.outer.outer import Gradient as Gradient
