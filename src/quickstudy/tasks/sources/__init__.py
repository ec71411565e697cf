"""Sources: your own arrays, files and data sets as task families."""
