"""Across-task training: the objective, the estimators of its gradient, the executors, the outer loop."""
