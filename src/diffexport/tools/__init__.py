"""What is built on exploring: scanning a package, planting bugs."""
