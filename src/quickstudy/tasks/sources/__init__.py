"""Sources: arrays, files and data sets of one's own as task families."""
