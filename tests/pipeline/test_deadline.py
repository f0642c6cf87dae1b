"""A deadline is a value that the pipeline asks between its stages."""

import math
import time
from dataclasses import replace

import numpy as np
import pytest

from diffexport import Mode
from diffexport.pipeline import Pipeline
from diffexport.subjects import catalogue
from diffexport.values import Deadline, DeadlinePassed

MODE = Mode("torchscript")
INPUTS = (np.ones(2, np.float32),)


class Recording:
    """A collaborator that notes what it is asked for, and sets the deadline's clock."""

    def __init__(self, inner, name, calls, then=lambda: None):
        self._inner, self._name, self._calls, self._then = inner, name, calls, then

    def __getattr__(self, name):
        asked = getattr(self._inner, name)
        if name != self._name:
            return asked

        def noted(*args, **kwargs):
            self._calls.append(name)
            result = asked(*args, **kwargs)
            self._then()
            return result

        return noted


def recording(calls, then):
    """A pipeline that notes its calls; ``then`` says what happens after which."""
    stages = Pipeline().stages
    return Pipeline(
        stages=replace(
            stages,
            eager=Recording(stages.eager, "run", calls, then.get("run", lambda: None)),
            exports=Recording(stages.exports, "export", calls, then.get("export", lambda: None)),
            loader=Recording(stages.loader, "load", calls, then.get("load", lambda: None)),
        )
    )


@pytest.mark.parametrize("deadline", [Deadline(wall=0.0), Deadline(processor=0.0)])
def test_nothing_begins_after_the_deadline(deadline):
    calls = []
    pipeline = recording(calls, {})
    with pytest.raises(DeadlinePassed):
        pipeline.check(catalogue.load("clamp"), MODE, "ort-all", INPUTS, deadline=deadline)
    assert calls == []


@pytest.mark.parametrize(
    ("last", "made"), [("run", ["run"]), ("export", ["run", "export"]), ("load", ["run", "export", "load"])]
)
def test_it_is_asked_for_between_the_stages(last, made, monkeypatch):
    calls, now = [], [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    pipeline = recording(calls, {last: lambda: now.__setitem__(0, 2.0)})
    with pytest.raises(DeadlinePassed):
        pipeline.check_runtimes(
            catalogue.load("clamp"), MODE, ("ort-all", "reference"), INPUTS, deadline=Deadline(wall=1.0)
        )
    assert calls == made


def test_another_deadline_lets_the_pipeline_go_on():
    pipeline, case = Pipeline(), catalogue.load("clamp")
    with pytest.raises(DeadlinePassed):
        pipeline.check(case, MODE, "ort-all", INPUTS, deadline=Deadline(wall=0.0))
    assert pipeline.check(case, MODE, "ort-all", INPUTS, deadline=Deadline(wall=math.inf)).agrees
    assert pipeline.check(case, MODE, "ort-all", INPUTS).agrees


def test_hypothesis_does_not_take_it_for_a_failure():
    assert not issubclass(DeadlinePassed, Exception)
