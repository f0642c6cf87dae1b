"""The product from end to end in seconds, for ``tox -e quick``: one case, two exporters, two runtimes, a report."""

import json


def test_one_case_in_two_modes_agrees(cli, tmp_path):
    report = tmp_path / "report.json"
    modes = ("--modes", "torchscript", "--modes", "dynamo")
    runtimes = ("--runtime", "ort-disabled", "--runtime", "reference")
    ran = cli(
        "run", "single_output", *modes, *runtimes, "--examples", 1, "--jobs", 0, "--json", report, code=0
    )
    assert "4 agree" in ran.out
    assert "all as expected" in ran.out
    assert json.loads(report.read_text(encoding="utf-8"))["divergences"] == []
