"""Published numbers, reproduced: `make reproduce`."""
