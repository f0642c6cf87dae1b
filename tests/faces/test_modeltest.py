"""What ``diffexport.test`` makes: a plain function, as pytest wants to see it."""

import inspect

import pytest
import torch

import diffexport
from diffexport.errors import FixtureTargetError, UsageError
from diffexport.faces.api.model_tests import EXPORTER, MODE, test_of
from diffexport.faces.pytest.checker import EXPORTER as GIVEN_EXPORTER
from diffexport.faces.pytest.checker import MODE as GIVEN_MODE

INPUTS = {"inputs": ["float32[N]"]}


def made(*args, **options):
    return diffexport.test(*args, **options)


def test_plugin_and_test_agree_on_names():
    assert (EXPORTER, MODE) == (GIVEN_EXPORTER, GIVEN_MODE)


def test_it_stands_where_it_was_written():
    line = inspect.currentframe().f_lineno + 1
    one = diffexport.test(torch.nn.ReLU, **INPUTS)
    assert one.__code__.co_filename == __file__
    assert one.__code__.co_firstlineno == line
    assert list(inspect.signature(one).parameters) == ["diffexport", "diffexport_exporter"]
    assert test_of(one).parameters == ()


def test_the_parameters_of_a_factory_are_its_own():
    @pytest.mark.parametrize("width", [1])
    @diffexport.test(**INPUTS)
    @pytest.mark.slow
    def one(width, scale, *, sign, bias=True):
        """Make a layer."""

    assert list(inspect.signature(one).parameters) == [
        "width",
        "scale",
        "sign",
        "diffexport",
        "diffexport_exporter",
    ]
    assert (one.__name__, one.__doc__, one.__module__) == ("one", "Make a layer.", __name__)
    assert {mark.name for mark in one.pytestmark} == {"slow", "parametrize"}
    assert "one" in one.__qualname__
    with pytest.raises(
        FixtureTargetError, match=r"fixtures \(width, scale, sign\).* run: pytest test_it\.py::one"
    ):
        test_of(one).case("test_it.py:one", ())


def test_a_mode_takes_the_place_of_the_exporter():
    def one(diffexport_mode):
        """Make nothing."""

    assert list(inspect.signature(made(one, **INPUTS)).parameters) == ["diffexport_mode", "diffexport"]


def test_in_a_class_it_takes_no_self():
    class Tests:
        test_one = diffexport.test(torch.nn.ReLU, **INPUTS)

    assert isinstance(vars(Tests)["test_one"], staticmethod)


def test_a_factory_makes_the_same_weights_each_time():
    def one():
        return torch.nn.Linear(2, 3)

    own = test_of(made(one, **INPUTS))
    before = torch.random.get_rng_state()
    assert own.build({}).weight.tolist() == own.build({}).weight.tolist()
    assert torch.equal(torch.random.get_rng_state(), before)
    case = own.case("test_it.py:one", ["float32[N, 2]"])
    assert (case.name, case.target, str(case.inputs[0])) == ("one", "test_it.py:one", "float32[N, 2]")


def test_wrong_use_is_refused_at_once():
    with pytest.raises(UsageError, match="unknown option 'inputz'; did you mean 'inputs'"):
        made(torch.nn.ReLU, inputz=[])
    with pytest.raises(UsageError, match="rtol=-1 must be"):
        made(torch.nn.ReLU, rtol=-1)
    with pytest.raises(UsageError, match="takes a function that makes a model"):
        made(**INPUTS)(torch.nn.ReLU)
    with pytest.raises(UsageError, match=r"takes fixtures \(width\): run it with pytest"):
        made(lambda width: None, **INPUTS)()
    with pytest.raises(UsageError, match="returns nothing; it must return the model"):
        made(lambda: None, **INPUTS)()


def test_what_is_imported_by_its_name_is_no_test():
    from diffexport import test

    assert test.__test__ is False
