"""How diffexport is used: from Python, from the command line, from pytest."""
