"""How much a run does: few modes get more examples, and larger ones."""

import pytest

from diffexport.config import PROFILES


@pytest.mark.parametrize("name", PROFILES)
def test_few_modes_get_as_much_as_a_profile_gives(name):
    profile = PROFILES[name]
    for modes in (1, 8):
        assert (profile.examples_for(modes), profile.block_for(modes)) == (profile.most, profile.largest)
    for modes in (1000, 14112):
        assert (profile.examples_for(modes), profile.block_for(modes)) == (profile.examples, profile.block)


def test_in_between_it_falls_with_the_number_of_modes():
    dev = PROFILES["dev"]
    assert [dev.block_for(modes) for modes in (8, 16, 32, 64, 128)] == [64, 32, 16, 8, 8]
    assert [dev.examples_for(modes) for modes in (8, 16, 32, 64, 128)] == [64, 32, 16, 8, 8]
