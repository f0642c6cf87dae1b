"""What benchmarks/faults.py injects, what it watches, and what it counts."""
