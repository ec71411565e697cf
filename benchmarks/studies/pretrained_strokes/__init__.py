"""How the learner that comes along is made: candidates on drawn characters of many styles, compared by validation alone."""
