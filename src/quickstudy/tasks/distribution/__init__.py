"""Distributions of tasks: how episodes are drawn from labelled data, groups and streams, and how data are split."""
