"""What a package needs to add to diffexport: a runtime in runtimes.py, an exporter in exporter.py."""
