"""No class of value, shape, layout or dtype is out of reach of generation."""

import pytest

from diffexport.explore.seeded import steady_draws
from diffexport.strategies import reach


@pytest.fixture(scope="module")
def counts():
    # Else what is drawn depends on the numbers in every test module that is loaded.
    with steady_draws():
        return reach.count(1000)


@pytest.mark.slow
@pytest.mark.parametrize("group", ["values", "shapes", "layouts", "examples", "pairs", "dtypes"])
def test_no_class_is_empty(counts, group):
    assert counts[group]
    assert [name for name, number in counts[group].items() if not number] == []


@pytest.mark.slow
def test_what_matters_most_is_frequent(counts):
    values, shapes = counts["values"], counts["shapes"]
    for name in (
        "nan",
        "+inf",
        "negative zero",
        "ties",
        "one odd element",
        "ordinary",
        "half",
        "all different",
    ):
        assert values[name] >= 80, name
    for name in ("0-d", "empty, not first", "size one", "as exported", "more where exported with 1"):
        assert shapes[name] >= 40, name


def test_counting_sees_what_is_there():
    assert not reach.VALUES["nan"](reach.np.zeros(3))
    assert reach.VALUES["odd element not first"](reach.np.array([1.0, reach.np.inf, 2.0]))
    assert not reach.VALUES["odd element not first"](reach.np.array([reach.np.inf, 1.0, 2.0]))
    assert not reach.VALUES["beside a constant"](reach.np.array([reach.CONSTANT]))
    assert not reach.SHAPES["empty, not first"]((2, 3), (0, 3))
