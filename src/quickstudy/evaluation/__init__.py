"""Did it work: accuracy with confidence, on tasks never seen."""
