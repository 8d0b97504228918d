"""What is measured, against which peer, and how to run it: `python -m benchmarks`."""
