from dataclasses import replace
from pathlib import Path

import pytest

from diffexport.errors import ConfigError
from diffexport.subjects.cases.known import load_known, parse_known
from diffexport.values.mode import Mode
from diffexport.values.place import Place
from diffexport.values.verdict import Divergence, Kind, Stage

TABLE = {
    "id": "round-ties",
    "reason": "accepted\n   upstream",
    "cases": ["round*", "quant"],
    "modes": "torchscript,opset=9..12",
    "kind": "value",
    "regression": "round--torchscript--value--0badcafe.json",
}
FULL = {
    **TABLE,
    "runtimes": ["ort-*"],
    "where": "output[*]",
    "signature": "finite→(finite|-0)",
    "traits": ["abs:0..1", "export:scalar"],
    "max_excess": 4,
    "versions": {"torch": ">=2.9,<2.14"},
}
MODE = Mode.parse("torchscript,opset=10")
SEEN = Divergence(Stage.COMPARE, Kind.VALUE, Place.output(0), "finite→finite", "differs", (0,), 3.5)


def entry(**changes):
    return parse_known([{**FULL, **changes}])[0]


def accepts(known, *, case="rounding", mode=MODE, runtime="ort-all", **changes):
    place = Place.parse(changes.pop("where", SEEN.where))
    return known.accepts(case, mode, runtime, replace(SEEN, place=place, **changes))


def test_parse_and_defaults():
    (known,) = parse_known([TABLE], source=Path("known.toml"))
    assert known.reason == "accepted upstream"
    assert (known.cases, known.kind) == (("round*", "quant"), Kind.VALUE)
    assert (known.runtimes, known.where, known.signature, known.traits) == (("*",), "*", ".*", ())
    assert (known.max_excess, dict(known.versions), known.source) == (None, {}, Path("known.toml"))
    assert known.applies_to({})
    assert known.may_agree is False
    assert parse_known([{**TABLE, "may_agree": True}])[0].may_agree is True


def test_load_reads_known_tables(tmp_path):
    path = tmp_path / "known.toml"
    path.write_text(
        '[[known]]\nid = "a"\nreason = "r"\ncases = ["x"]\nmodes = "*"\nkind = "crash"\nregression = "f"\n'
        '[[known]]\nid = "b"\nreason = "r"\ncases = ["x"]\nmodes = "*"\nkind = "dtype"\nregression = "g"\n'
    )
    assert [(known.id, known.kind, known.source) for known in load_known(path)] == [
        ("a", Kind.CRASH, path),
        ("b", Kind.DTYPE, path),
    ]
    path.write_text("")
    assert load_known(path) == ()


@pytest.mark.parametrize("content", [b"[[known]\n", b"\xff\xfe", None])
def test_load_of_what_is_no_toml_names_the_file(tmp_path, content):
    path = tmp_path / "known.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"known\.toml: cannot be read"):
        load_known(path)


@pytest.mark.parametrize("content", ['[known]\nid = "a"\n', "known = 3\n", 'known = ["a"]\n'])
def test_load_of_known_that_is_no_array_of_tables(tmp_path, content):
    path = tmp_path / "known.toml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"known\.toml"):
        load_known(path)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"signatur": "x"}, "unknown key 'signatur'; did you mean 'signature'?"),
        ({"kind": "valeu"}, "unknown kind 'valeu'; did you mean 'value'?"),
        ({"signature": "("}, "unterminated subpattern"),
        ({"modes": "torchscript,opst=9"}, "did you mean 'opset'?"),
        ({"traits": ["nann"]}, "did you mean 'nan'?"),
        ({"versions": {"torch": "~~2"}}, "'~~2'"),
        ({"versions": {"torch": 2}}, "versions"),
        ({"cases": "round"}, "cases: Input should be a valid list"),
        ({"cases": [1]}, "cases"),
        ({"max_excess": "4"}, "max_excess: Input should be a valid number"),
        ({"may_agree": "yes"}, "may_agree: Input should be a valid boolean"),
        ({"max_excess": True}, "max_excess: Input should be a valid number"),
        ({"cases": []}, "missing cases"),
        ({"reason": ""}, "missing reason"),
    ],
)
def test_invalid_entries_are_rejected_naming_entry_and_key(changes, part):
    with pytest.raises(ConfigError) as caught:
        parse_known([{**TABLE, "id": "fine"}, {**TABLE, **changes}], source=Path("known.toml"))
    assert part in str(caught.value)
    assert str(caught.value).startswith("known.toml: known, entry 2 (round-ties): ")


@pytest.mark.parametrize("key", ["id", "reason", "cases", "modes", "kind", "regression"])
def test_required_keys(key):
    table = {k: v for k, v in TABLE.items() if k != key}
    with pytest.raises(ConfigError, match=f"entry 1 .*missing {key}$"):
        parse_known([table])


def test_several_missing_keys_are_named_together():
    with pytest.raises(ConfigError, match=r"missing reason, cases, regression$"):
        parse_known([{"id": "a", "modes": "*", "kind": "value"}])


def test_an_id_is_taken_once():
    with pytest.raises(ConfigError, match=r"entry 2 \(round-ties\): the id is already taken"):
        parse_known([TABLE, TABLE])


def test_accepts_what_it_names():
    assert accepts(entry())
    assert accepts(entry(), case="quant", runtime="ort-basic", where="output[12]", signature="finite→-0")


@pytest.mark.parametrize(
    "change",
    [
        {"case": "quantise"},
        {"case": "Round"},
        {"mode": Mode.parse("torchscript,opset=13")},
        {"mode": Mode.parse("dynamo,opset=13")},
        {"runtime": "reference"},
        {"kind": Kind.SIGN_OF_ZERO},
        {"where": "output"},
        {"where": "output0"},
        {"where": "graph"},
        {"signature": "finite→finite and more"},
        {"signature": "so finite→finite"},
        {"excess": 4.001},
        {"excess": None},
    ],
)
def test_one_field_that_does_not_match_is_enough_to_decline(change):
    assert not accepts(entry(), **change)


def test_max_excess_is_inclusive_and_optional():
    assert accepts(entry(), excess=4.0)
    table = {key: value for key, value in FULL.items() if key != "max_excess"}
    assert accepts(parse_known([table])[0], excess=1e9)


def test_brackets_in_a_place_are_literal_and_the_star_alone_is_special():
    assert accepts(entry(where="output[0]"))
    assert not accepts(entry(where="output[0]"), where="output0")
    assert not accepts(entry(where="output[1]"))
    assert not accepts(entry(where="output[1-9]"), where="output5")
    assert accepts(entry(where="output[*].imag"), where="output[3].imag")


def test_a_question_mark_in_a_place_is_literal():
    assert not accepts(entry(where="output[?]"))


def test_runtimes_are_ignored_for_what_shows_before_any_runtime():
    known = entry(kind="export-error", max_excess=4)
    assert not accepts(known, runtime="", kind=Kind.EXPORT_ERROR, excess=None)
    table = {key: value for key, value in FULL.items() if key != "max_excess"}
    known = parse_known([{**table, "kind": "export-error"}])[0]
    assert accepts(known, runtime="", kind=Kind.EXPORT_ERROR, excess=None)
    assert not accepts(known, runtime="reference", kind=Kind.EXPORT_ERROR, excess=None)


@pytest.mark.parametrize(
    ("installed", "applies"),
    [
        ({"torch": "2.13.0"}, True),
        ({"torch": "2.13.0+cpu"}, True),
        ({"torch": "2.13.0.dev20261101"}, True),
        ({"torch": "2.14.0"}, False),
        ({"torch": "2.8.1"}, False),
        ({"onnx": "1.20"}, False),
        ({}, False),
    ],
)
def test_applies_to_versions(installed, applies):
    assert entry().applies_to(installed) is applies


def test_every_version_must_hold():
    known = entry(versions={"torch": ">=2.9", "onnxruntime": "==1.22.*"})
    assert known.applies_to({"torch": "2.10", "onnxruntime": "1.22.3"})
    assert not known.applies_to({"torch": "2.10", "onnxruntime": "1.23.0"})
