"""Whatever is written as configuration: it is taken, or one short message names the file and the key."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffexport import config
from diffexport.errors import ConfigError, plain_text

DEEP = "[" * 5000
#: Written as TOML, for every key; a few of them are right for one key or another.
VALUES = [
    '"yes"',
    "-1",
    "0",
    "nan",
    "1e400",
    "true",
    "1979-05-27",
    "9" * 40,
    "9" * 5000,
    '""',
    '"a\\u0000b"',
    f'"{DEEP}"',
    f'["{DEEP}"]',
    DEEP + "]" * 5000,
    f'"{"x" * 1_000_000}"',
    "[[1]]",
    '[""]',
    "[1]",
    "{a={b=1}}",
    '{a=["a"]}',
    '{""=[""]}',
]
RIGHT = {
    ("seed", "0"),
    ("jobs", "0"),
    ("strict", "true"),
    ("ordinary", "true"),
    ("no_empty", "true"),
    ("empty_examples", "true"),
    ("regressions", '"yes"'),
    ("recorded", '"yes"'),
    ("placeholders", f'["{DEEP}"]'),
}


def refused_by(read):
    try:
        read()
    except ConfigError as error:
        return str(error)
    return ""


@pytest.fixture
def refusal(tmp_path):
    """What is said of a text as configuration; empty if it is taken."""
    file = tmp_path / "pyproject.toml"

    def refusal(text):
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        said = refused_by(lambda: config.load(file))
        assert not said or str(file) in said
        return plain_text(said)

    return refusal


@pytest.mark.parametrize("key", config._KEYS)
def test_a_wrong_value_names_its_key(refusal, key):
    for value in VALUES:
        if (key, value) in RIGHT - {("placeholders", f'["{DEEP}"]')}:
            continue
        said = refusal(f"[tool.diffexport]\n{key} = {value}")
        assert key in said, (key, value[:40], said)
        assert len(said) < 5000


TEXTS = {
    "strict": ('strict = "yes"', "strict: Input should be a valid boolean (it is 'yes')"),
    "matrix in itself": (
        'matrices = {a = ["b"], b = ["a"]}',
        "matrices.a: the configured matrix 'a' contains itself",
    ),
    "case": ('cases = ["clmp"]', "cases: unknown case 'clmp'; did you mean 'clamp'?"),
    "runtime": ('runtimes = ["ort-al"]', "runtimes: unknown runtime 'ort-al'; did you mean 'ort-all'?"),
    "second mode": ('modes = ["dynamo", 3]', "modes[1]: Input should be a valid string (it is 3)"),
    "memory": ('memory = "4 parsecs"', "memory: '4 parsecs' is no size in bytes; write for instance 4GiB"),
    "little memory": ('memory = "1"', "memory: '1' is not between 64MiB and"),
    "digits": ("seed = " + "9" * 5000, "a number of too many digits (line 2: seed = 999"),
    "nesting": ("modes = " + DEEP, "values are nested too deeply (line 2: modes = [[["),
    "known signature": (
        'known = [{id="a", reason="b", cases=["x"], modes="*", kind="value", regression="x", '
        'signature="a{9999999999}"}]',
        "known, entry 1 (a): signature: the repetition number is too large",
    ),
    "exclude modes": ('exclude = [{modes="dynamo,opzet=3", reason="b"}]', "modes: unknown option 'opzet'"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_message_says_what_is_wrong(refusal, name):
    text, message = TEXTS[name]
    assert message in refusal(f"[tool.diffexport]\n{text}")


def test_matrices_of_matrices_take_no_time(refusal):
    lines = ["a0 = ['dynamo', 'torchscript']", *(f"a{n} = ['a{n - 1}', 'a{n - 1}']" for n in range(1, 45))]
    assert refusal("[tool.diffexport.matrices]\n" + "\n".join(lines)) == ""
    lines = ["a0 = ['dynamo']", *(f"a{n} = ['a{n - 1}']" for n in range(1, 3000))]
    assert "is made of more than 50 others" in refusal("[tool.diffexport.matrices]\n" + "\n".join(lines))


def folder(file):
    file.mkdir()


def sparse(file):
    with file.open("wb") as opened:
        opened.truncate(10 << 40)


FILES = {
    "folder": (folder, "is no regular file"),
    "pipe": (os.mkfifo, "is no regular file"),
    "device": (lambda file: file.symlink_to("/dev/zero"), "is no regular file"),
    "ten terabytes": (sparse, "is larger than the 4 MiB"),
    "UTF-16": (lambda file: file.write_text("[tool]", encoding="utf-16"), "which is UTF-8"),
    "zeros": (lambda file: file.write_bytes(bytes(9)), "cannot be read as TOML"),
    "doubled": (lambda file: file.write_text("[tool]\na=1\na=1"), "cannot be read as TOML"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_none(cli, project, name):
    make, problem = FILES[name]
    (project / "pyproject.toml").unlink()
    make(project / "pyproject.toml")
    ran = cli("modes", code=2)
    assert str(project / "pyproject.toml") in ran.err
    assert problem in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_current_folder_that_is_gone(cli, project, monkeypatch):
    gone = project / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "the current folder cannot be read" in cli("modes", code=2).err


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates()
ANYTHING = st.recursive(
    PLAIN | st.sampled_from(["dynamo", "ort", "clamp", "4GiB", "*", "full"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
ENTRY = st.dictionaries(
    st.sampled_from(
        ["id", "reason", "cases", "modes", "kind", "regression", "signature", "versions", "traits"]
    ),
    ANYTHING | st.just("*") | st.just(["x"]),
)


@settings(max_examples=10 * settings().max_examples)
@given(
    table=st.dictionaries(st.sampled_from(config._KEYS), ANYTHING | st.lists(ENTRY, max_size=2), min_size=1)
)
def test_any_table_is_taken_or_refused_by_name(tmp_path_factory, table):
    file = tmp_path_factory.getbasetemp() / "pyproject.toml"
    said = refused_by(lambda: config.parse(table, file))
    assert not said or (str(file) in said and any(key in said for key in table))
