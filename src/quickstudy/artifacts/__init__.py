"""Everything on disk: a learner, a predictor, a run's folder, a checkpoint, an export, a tracker's records."""
