"""Groups of the catalogue on the command line."""

import pytest

from diffexport.subjects import catalogue

#: Refused by rule, before anything is run: the cheapest mode there is.
CHEAP = ("--modes", "torchscript,autograd_inlining=false", "--runtime", "ort-disabled", "--jobs", "0")


def test_a_group_is_run_case_by_case(check):
    ran = check("issues", "clamp", "fallthrough_relu", "--examples", "1", cheap=CHEAP, code=0)
    assert ran.report["cases"] == [*catalogue.expand(["issues"]), "clamp"]
    assert {result["case"] for result in ran.report["results"]} == set(ran.report["cases"])


def test_groups_may_be_configured(check, project):
    (project / "pyproject.toml").write_text('[tool.diffexport]\ncases = ["issues"]\nexamples = 1\n')
    ran = check(cheap=CHEAP, code=0)
    assert ran.report["cases"] == list(catalogue.expand(["issues"]))


def test_list_shows_the_group_of_each_case(cli):
    listed = [line.split()[:2] for line in cli("list", code=0).out.splitlines()]
    assert listed == [[entry.name, entry.group] for entry in catalogue.ENTRIES.values()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "pattern"), "did you mean 'patterns'?"),
        (("mutate", "isues"), "did you mean 'issues'?"),
    ],
)
def test_a_wrong_group_is_told(cli, arguments, message):
    ran = cli(*arguments, code=2)
    assert message in ran.err
    assert "Traceback" not in ran.err
