"""Tables: a prior of synthetic ones, a learner fitted to it, and the choice of a learner for a new one."""
