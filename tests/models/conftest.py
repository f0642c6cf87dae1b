"""The regressions here are replayed by the tests of the models: elsewhere what they need is missing."""

collect_ignore_glob = ["regressions/*"]
