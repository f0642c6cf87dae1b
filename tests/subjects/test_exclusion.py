"""Exclusions: modes that are left out, each with a reason."""

import pytest

from diffexport.errors import ConfigError, DiffexportError, UsageError
from diffexport.subjects.cases import exclusion
from diffexport.values.mode import Mode

MODES = (Mode("dynamo"), Mode("torchscript"), Mode("torchscript", opset=9))


def test_the_first_that_fits_takes_a_mode():
    old, every = exclusion.exclusions_of({"torchscript,opset=7..9": "too old", "torchscript": "not used"})
    kept, taken = exclusion.split_excluded(MODES, "a", (old, every))
    assert kept == (Mode("dynamo"),)
    assert taken == ((every, 1), (old, 1))


def test_cases_are_globs():
    (one,) = exclusion.parse_exclusions([{"modes": "dynamo*", "reason": "not here", "cases": ["Ge*"]}])
    assert one.concerns("Gelu", MODES[0])
    assert not one.concerns("Relu", MODES[0])
    assert not one.concerns("Gelu", MODES[1])


@pytest.mark.parametrize("given", [{"dynamo": ""}, {"dynamo": " "}, {"dynamo": None}, ["dynamo"], "dynamo"])
def test_each_needs_a_reason(given):
    with pytest.raises(UsageError, match="reason"):
        exclusion.exclusions_of(given)


WRONG = {
    "reason": ([{"modes": "dynamo"}], "missing reason"),
    "key": ([{"mode": "dynamo", "reason": "a"}], "unknown key 'mode'; did you mean 'modes'?"),
    "modes": ([{"modes": "dynam", "reason": "a"}], "no exporter matches 'dynam'; did you mean 'dynamo'?"),
    "blank": ([{"modes": "dynamo", "reason": "  "}], "reason"),
    "table": ({"modes": "dynamo"}, "write [[exclude]], with two brackets"),
    "cases": ([{"modes": "dynamo", "reason": "a", "cases": []}], "cases"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_table_is_refused(wrong):
    tables, message = WRONG[wrong]
    with pytest.raises(ConfigError) as caught:
        exclusion.parse_exclusions(tables)
    assert message in str(caught.value)


def test_a_pattern_that_does_not_parse_is_an_error():
    with pytest.raises(DiffexportError, match="did you mean 'opset'"):
        exclusion.exclusions_of({"dynamo,opst=13": "a reason"})
