"""Learners that train a student by a whole training run, one part of which is learned."""
