"""Hypothesis draws what it would draw, only faster, and nothing from the modules that happen to be loaded."""

import random

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from diffexport.explore import seeded
from diffexport.explore.seeded import drawn, steady_draws


def test_bytes_at_once_are_those_drawn_one_by_one_and_leave_the_source_where_it_would_be():
    for count in (0, 1, 3, 1000):
        one, other = random.Random(count), random.Random(count)
        assert drawn(one, count) == b"".join(other.randbytes(1) for _ in range(count))
        assert one.random() == other.random()


def draws(count=40):
    seen = []

    @hypothesis.seed(11)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(st.binary(min_size=600, max_size=600), st.binary(max_size=5), st.integers())
    def collect(one, other, number):
        seen.append((one, other, number))

    collect()
    return seen


def test_a_run_draws_the_same(monkeypatch):
    with steady_draws():
        fast = draws()
    called = []
    monkeypatch.setattr(seeded, "drawn", lambda *given: called.append(given) or drawn(*given))
    with steady_draws():
        assert draws() == fast
    # Or the comparison above would say nothing.
    assert called
    with seeded._no_local_constants():
        assert draws() == fast


@pytest.mark.parametrize("gone", ["HypothesisProvider", "_get_local_constants"])
def test_where_private_names_are_gone_nothing_is_changed(gone, monkeypatch):
    class Nothing:
        def __getattr__(self, name):
            if name == gone:
                raise AttributeError(name)
            return getattr(providers, name)

        def __setattr__(self, name, value):
            setattr(providers, name, value)

    providers = seeded._providers()
    monkeypatch.setattr(seeded, "_providers", Nothing)
    with steady_draws():
        assert len(draws(3)) >= 1


def test_hypothesis_is_put_back():
    provider = seeded._providers().HypothesisProvider
    shipped = provider.draw_bytes
    with steady_draws():
        assert provider.draw_bytes is not shipped
    assert provider.draw_bytes is shipped
    with pytest.raises(ZeroDivisionError), steady_draws():
        assert 1 / 0
    assert provider.draw_bytes is shipped
