import itertools
import os
import subprocess
import sys

import pytest

from diffexport.errors import InvalidModeError
from diffexport.values.matrix import default_matrix, full_matrix, select_modes
from diffexport.values.mode import Mode

BOTH = (False, True)
DYNAMO = {
    "exporter": ("dynamo", "dynamo-strict"),
    "opset": tuple(range(13, 26)),
    "dynamic": BOTH,
    "keep_initializers_as_inputs": BOTH,
    "optimize": BOTH,
}
TORCHSCRIPT = {
    "opset": tuple(range(7, 21)),
    "dynamic": BOTH,
    "keep_initializers_as_inputs": BOTH,
    "operator_export_type": ("ONNX", "ONNX_ATEN", "ONNX_ATEN_FALLBACK", "ONNX_FALLTHROUGH"),
    "do_constant_folding": BOTH,
    "training": ("EVAL", "PRESERVE", "TRAINING"),
    "autograd_inlining": BOTH,
    "export_modules_as_functions": BOTH,
    "scoped": BOTH,
}


def pairs_wanted(table):
    wanted = set()
    for one, other in itertools.combinations(table, 2):
        for values in itertools.product(table[one], table[other]):
            pair = dict(zip((one, other), values, strict=True))
            if not (pair.get("export_modules_as_functions") and pair.get("opset", 15) < 15):
                wanted.add(tuple(pair.items()))
    return wanted


def pairs_present(modes, table):
    return {
        ((one, getattr(mode, one)), (other, getattr(mode, other)))
        for mode in modes
        for one, other in itertools.combinations(table, 2)
    }


def test_default_has_every_pair_of_the_dynamo_family_with_strictness_as_an_axis():
    modes = [mode for mode in default_matrix() if mode.exporter != "torchscript"]
    wanted = pairs_wanted(DYNAMO)
    # Six pairs of two-valued axes, four of opset with a two-valued axis.
    assert len(wanted) == 6 * 4 + 4 * 26
    assert wanted == pairs_present(modes, DYNAMO)


def test_default_has_every_possible_pair_of_torchscript_options():
    modes = [mode for mode in default_matrix() if mode.exporter == "torchscript"]
    assert pairs_wanted(TORCHSCRIPT) == pairs_present(modes, TORCHSCRIPT)


def test_default_has_every_possible_pair_among_torchscript_modes_that_can_run():
    modes = [
        mode
        for mode in default_matrix("torchscript")
        if mode.operator_export_type == "ONNX" and mode.autograd_inlining
    ]
    table = {k: v for k, v in TORCHSCRIPT.items() if k not in ("operator_export_type", "autograd_inlining")}
    assert pairs_wanted(table) == pairs_present(modes, table)


def test_default_is_small_without_repeats_simplest_first_and_holds_the_defaults():
    modes = default_matrix()
    assert len(modes) < 200
    assert len(set(modes)) == len(modes)
    assert {Mode("dynamo"), Mode("dynamo-strict"), Mode("torchscript")} <= set(modes)
    assert str(modes[0]) == "dynamo"
    order = {"dynamo": 0, "dynamo-strict": 1, "torchscript": 2}
    ranks = [(order[mode.exporter], len(str(mode).split(","))) for mode in modes]
    assert ranks == sorted(ranks)


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_default_is_the_same_in_every_process(seed):
    code = "from diffexport.values.matrix import default_matrix; print(*default_matrix(), sep='\\n')"
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [str(mode) for mode in default_matrix()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("exporter", "count"),
    [
        # 14 * 2*2*4*2*3*2*2*2 less the 8 opsets below 15 with modules as functions.
        ("torchscript", 14 * 768 - 8 * 384),
        ("dynamo", 13 * 8),
        ("dynamo-strict", 104),
        (None, 7680 + 104 + 104),
    ],
)
def test_full_is_the_whole_product_of_valid_modes(exporter, count):
    modes = full_matrix(exporter)
    assert len(modes) == count
    assert len(set(modes)) == count
    if exporter:
        assert {mode.exporter for mode in modes} == {exporter}
    assert set(default_matrix(exporter)) <= set(modes)


def texts(modes):
    return [str(mode) for mode in modes]


def test_select_names_and_modes_keep_their_order_without_repeats():
    assert select_modes(["default"]) == default_matrix()
    assert select_modes(["full"]) == full_matrix()
    assert select_modes([]) == ()
    chosen = select_modes(["torchscript", "dynamo,opset=25", "torchscript,opset=20"])
    assert texts(chosen) == ["torchscript", "dynamo,opset=25"]


def test_select_patterns():
    chosen = select_modes(["dynamo,opset=13..14"])
    # Two opsets times three two-valued options.
    assert len(chosen) == 16
    assert {(mode.exporter, mode.opset) for mode in chosen} == {("dynamo", 13), ("dynamo", 14)}
    assert len(select_modes(["dynamo*"])) == 208
    # Without a pattern sign a text is one mode.
    assert texts(select_modes(["torchscript,opset=9"])) == ["torchscript,opset=9"]


def test_select_configured_matrices():
    named = {
        "release": ["dynamo", "old"],
        "old": ["torchscript,opset=9", "torchscript,opset=7|9,training=TRAINING,dynamic=true,scoped=true"],
        "twice": ["old", "release", "old"],
        "default": ["torchscript"],
    }
    assert texts(select_modes(["release"], named))[:2] == ["dynamo", "torchscript,opset=9"]
    # opset 7 and 9, and two-valued: keep_initializers, folding, inlining; four operator export types.
    assert len(select_modes(["old"], named)) == 1 + 2 * 2 * 2 * 2 * 4
    assert set(select_modes(["twice"], named)) == set(select_modes(["release"], named))
    assert texts(select_modes(["default"], named)) == ["torchscript"]


@pytest.mark.parametrize("start", ["me", "a", "b"])
def test_select_a_matrix_that_contains_itself(start):
    named = {"me": ["dynamo", "me"], "a": ["b"], "b": ["dynamo", "a"]}
    with pytest.raises(InvalidModeError, match=f"'{start}' contains itself"):
        select_modes([start], named)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("defualt", "unknown mode or matrix 'defualt'; did you mean 'default'"),
        ("ful", "did you mean 'full'"),
        ("relase", "did you mean 'release'"),
        ("torchscrpt", "did you mean 'torchscript'"),
        ("dynamo,opset=12", "opset=12 is out of the range"),
        ("torchscript,opset=7..14,export_modules_as_functions=true", "matches no mode"),
        ("dynmo*", "no exporter matches"),
    ],
)
def test_select_rejects_what_stands_for_nothing(text, message):
    with pytest.raises(InvalidModeError, match=message):
        select_modes(["dynamo", text], {"release": ["dynamo"]})


@pytest.mark.parametrize("matrix", [default_matrix, full_matrix])
def test_unknown_exporter_is_rejected(matrix):
    with pytest.raises(InvalidModeError, match="'dynmo'"):
        matrix("dynmo")
