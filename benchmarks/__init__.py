"""What the library costs, and the bars it is held to: `python -m benchmarks`."""
