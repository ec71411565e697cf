"""Outer methods that take gradients: an estimator, an optimizer of torch, a schedule."""
