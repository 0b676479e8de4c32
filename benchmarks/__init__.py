"""What the library costs, and the bars that it has to meet: `python -m benchmarks`."""
