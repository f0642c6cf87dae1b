"""Budgets of ``diffexport.check``, and of tests with pytest."""

import pytest
import torch

import diffexport
from diffexport.errors import UsageError
from diffexport.values import Budget


class Halved(torch.nn.Module):
    def forward(self, x):
        return torch.relu(x) / 2


HOW = {
    "inputs": ["float32[N>=1, 3]"],
    "modes": ["torchscript", "torchscript,dynamic=true"],
    "runtimes": "ort-disabled",
}


def rows(result):
    return {(event.mode, event.turns): row.checks for event in result.modes for row in event.rows}


def test_rounds_are_the_same_each_time():
    results = [diffexport.check(Halved, rounds=1, **HOW) for _ in range(2)]
    assert all(result.ok for result in results)
    assert rows(results[0]) == rows(results[1])
    assert {turns for _, turns in rows(results[0])} == {2}


def test_a_time_is_a_text_or_seconds_and_is_kept():
    for time in ("2s", 2):
        result = diffexport.check(Halved, time=time, **HOW)
        assert len(rows(result)) == 2
        assert all(checks for checks in rows(result).values())
        assert result.ok


def test_without_either_each_mode_is_explored_in_one_go():
    result = diffexport.check(Halved, examples=2, **HOW)
    assert {turns for _, turns in rows(result)} == {None}


def test_a_time_that_is_none_is_refused():
    with pytest.raises(UsageError, match="'soon' is no time"):
        diffexport.check(Halved, time="soon", **HOW)


def test_turns_go_on_only_where_nobody_said_how_many_examples():
    from diffexport.faces.api.checking import settings_for

    assert settings_for(1, time="5s").budget == Budget(5.0, None, goes_on=True)
    assert settings_for(1, time="5s", examples=4).budget == Budget(5.0, None, goes_on=False)
    assert settings_for(1, examples=4).budget is None
