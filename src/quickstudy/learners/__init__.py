"""F_phi: each folder is a verb that says how a support set becomes a predictor."""
