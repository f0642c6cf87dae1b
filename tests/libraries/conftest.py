"""The regressions here are replayed by the tests of the Functions: elsewhere their packages are missing."""

collect_ignore_glob = ["regressions/*"]
