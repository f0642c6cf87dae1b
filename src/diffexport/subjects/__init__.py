"""What is tested: cases, the built-in catalogue, and what a target names."""
