"""make gpu: what quickstudy does on a GPU, by one script of under 8 minutes. `python -m benchmarks.gpu --help`."""
