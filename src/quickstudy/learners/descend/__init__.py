"""Learn by gradient descent."""
