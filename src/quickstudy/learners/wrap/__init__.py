"""Learners made of learners: what changes the data or averages the answers of any other."""
