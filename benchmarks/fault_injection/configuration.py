"""Wrong configuration, wrong command lines, and what is said instead of a traceback."""

from __future__ import annotations

from collections.abc import Sequence

from fault_injection.stored_files import run_batch, watch_result
from fault_injection.trial import Trial, fault
from fault_injection.victims import target

_MANY = 20

#: Tables ``[tool.diffexport]``, each wrong in one way, with the word that the message has to name.
TABLES: tuple[tuple[str, str], ...] = (
    ('strict = "yes"', "strict"),
    ("strict = 1", "strict"),
    ('regressions = "a\\u0000b"', "regressions"),
    ("regressions = 5", "regressions"),
    ('regressions = ["a"]', "regressions"),
    ('profile = "fast"', "profile"),
    ("profile = 1", "profile"),
    ('modes = "torchscrpt"', "torchscrpt"),
    ('modes = ["default", 5]', "modes"),
    ('modes = "torchscript,opset=9999"', "opset"),
    ('modes = "torchscript,opset=x"', "opset"),
    ('modes = "torchscript,colour=red"', "colour"),
    ('runtimes = "ort-fastest"', "ort-fastest"),
    ("runtimes = []", "runtimes"),
    ("runtimes = [[]]", "runtimes"),
    ("examples = 0", "examples"),
    ("examples = -1", "examples"),
    ("examples = 1.5", "examples"),
    ("examples = nan", "examples"),
    ('examples = "many"', "examples"),
    ("examples = true", "examples"),
    ("seed = -1", "seed"),
    ("seed = 1979-05-27", "seed"),
    ("jobs = -2", "jobs"),
    ('jobs = "all"', "jobs"),
    ("colour = 1", "colour"),
    ('export_timeout = "long"', "export_timeout"),
    ("export_timeout = -1", "export_timeout"),
    ("export_timeout = nan", "export_timeout"),
    ("check_timeout = 0", "check_timeout"),
    ('memory = "lots"', "memory"),
    ('memory = "-1GiB"', "memory"),
    ("memory = 0", "memory"),
    ("matrices = 1", "matrices"),
    ('matrices = {default = ["torchscript"]}', "default"),
    ('matrices = {mine = ["nothing"]}', "nothing"),
    ('matrices = {mine = ["mine"]}', "mine"),
    ('matrices = {mine = "torchscript"}', "mine"),
    ("known = 1", "known"),
    ("known = [1]", "known"),
    ("known = [{}]", "known"),
    ('known = [{id = "a"}]', "known"),
    (
        'known = [{id = "a", reason = "b", cases = ["c"], modes = "torchscript", kind = "odd", regression = "x"}]',
        "odd",
    ),
    ('exclude = [{modes = "*"}]', "reason"),
    ('exclude = [{modes = "torchscrip", reason = "x"}]', "torchscrip"),
    ("exclude = [{modes = 1, reason = 2}]", "exclude"),
    ('exclude = "all"', "exclude"),
    ('exclude = [{modes = "*", reason = "x", colour = 1}]', "colour"),
    ("cases = 5", "cases"),
    ("cases = [5]", "cases"),
    ("placeholders = [5]", "placeholders"),
    ("placeholders = false", "placeholders"),
    ("seed = " + "9" * 5000, "seed"),
    ("modes = " + "[" * 5000, "toml"),
    ("matrices = " + "{a = " * 3000 + "1" + "}" * 3000, "toml"),
    ('modes = "' + "x" * 100_000 + '"', "modes"),
    ("strict = ", "toml"),
    ("\x00", "toml"),
)
#: Whole files pyproject.toml that cannot be read.
FILES: tuple[bytes, ...] = (
    b"\xff\xfe", b"tool = 1", b"[tool]\ndiffexport = 1", b"[[tool.diffexport]]",
    b"[tool.diffexport]\n[tool.diffexport]", b"\x00" * 100, b"[tool.diffexport", b"tool.diffexport = [1]",
    b"[tool.diffexport]\nseed = 0x", b"a = 1\na = 2",
)  # fmt: skip

_MODEL = target("sound")
#: Command lines that ask for what cannot be.
LINES: tuple[Sequence[str], ...] = (
    ["run", "nothing"],
    ["run", "nowhere.py:x"],
    ["run", "project.py"],
    ["run", "project.py:nothing"],
    ["run", "project:"],
    ["run", ":"],
    ["run", ""],
    ["run", "\ud800:x"],
    ["run", "x" * 5000],
    ["run", "os:abort", "--input", "float32[2]"],
    ["run", "json:loads"],
    ["run", _MODEL, "--modes", "torchscrip"],
    ["run", _MODEL, "--modes", ""],
    ["run", _MODEL, "--modes", "torchscript,opset=10**9"],
    ["run", _MODEL, "--modes", "[" * 5000],
    ["run", _MODEL, "--runtime", "ort-fastest"],
    ["run", _MODEL, "--runtime", ""],
    ["run", _MODEL, "--examples", "0"],
    ["run", _MODEL, "--examples", "1e3"],
    ["run", _MODEL, "--examples", "9" * 5000],
    ["run", _MODEL, "--seed", "-1"],
    ["run", _MODEL, "--profile", "fast"],
    ["run", _MODEL, "--jobs", "-1"],
    ["run", _MODEL, "--input", "float32"],
    ["run", _MODEL, "--input", "float33[2]"],
    ["run", _MODEL, "--input", "float32[-1]"],
    ["run", _MODEL, "--input", "float32[" + "1," * 70 + "1]"],
    ["run", _MODEL, "--input", "float32[1000000000000]"],
    ["run", _MODEL, "--input", "float32[" + "9" * 5000 + "]"],
    ["run", _MODEL, "--input", "just(" + "(" * 3000],
    ["run", _MODEL, "--input", "just(os.abort())"],
    ["run", _MODEL, "--input", "__import__('os').abort()"],
    ["run", _MODEL, "--export-timeout", "0"],
    ["run", _MODEL, "--export-timeout", "nan"],
    ["run", _MODEL, "--memory", "lots"],
    ["run", _MODEL, "--memory", "0"],
    ["run", _MODEL, "--json", "."],
    ["run", _MODEL, "--colour"],
    ["replay", "nowhere"],
    ["replay", "project.py"],
    ["replay", "/dev/null"],
    ["replay", "."],
    ["show", "nowhere"],
    ["show", "project.py"],
    ["show", "."],
    ["compare", "nowhere.onnx", _MODEL],
    ["compare", "project.py", _MODEL],
    ["compare", ".", _MODEL],
    ["compare", "/dev/null", _MODEL],
    ["mutate", "nothing"],
    ["mutate", _MODEL, "--only", "nothing"],
    ["scan", "nothing-of-that-name"],
    ["scan", "nowhere/"],
    ["scan", "pyproject.toml"],
    ["modes", "nothing"],
    ["modes", "torchscript,opset=0"],
    ["nothing"],
    [],
)


@fault("configuration", "a wrong pyproject.toml", share=80, each=_MANY)
def _configuration(trial: Trial) -> None:
    choices = [(f"[tool.diffexport]\n{text}\n".encode(errors="replace"), word) for text, word in TABLES]
    choices += [(data, "toml") for data in FILES]
    chosen = trial.rng.sample(choices, _MANY)
    tasks, folders = [], []
    for number, (data, _) in enumerate(chosen):
        folder = trial.folder / f"configured{number}"
        folder.mkdir()
        (folder / "pyproject.toml").write_bytes(data)
        folders.append(folder)
        tasks.append(
            trial.rng.choice([["modes", "--count"], ["replay"], ["run", "clamp", "--modes", "torchscript"]])
        )
    results = run_batch(trial, tasks, folders)
    for (data, word), task, result in zip(chosen, tasks, results, strict=True):
        shown = data.decode(errors="replace").replace("[tool.diffexport]\n", "").strip()[:70]
        words = f"{task[0]} with {shown!r}"
        watch_result(trial, words, result, (2,))
        if result["code"] == 2 and word not in result["output"]:
            trial.record.remarks.append(f"does not name {word}: {words}: {result['output'].strip()[:160]}")


@fault("command-line", "a command line that asks for what cannot be", share=80, each=_MANY)
def _command_line(trial: Trial) -> None:
    tasks = [list(words) for words in trial.rng.sample(LINES, _MANY)]
    # None of these may get as far as a worker; if one does, that is soon over.
    tasks = [[*words, *_brief(words)] for words in tasks]
    for task, result in zip(tasks, run_batch(trial, tasks), strict=True):
        # Without any command, help is shown.
        words = " ".join(word[:40] for word in task)
        watch_result(trial, words, result, (2,) if task else (0, 2))


def _brief(words: Sequence[str]) -> list[str]:
    if not words or words[0] != "run" or "--examples" in words:
        return []
    modes = [] if "--modes" in words else ["--modes", "torchscript"]
    return ["--examples", "1", "--no-save", *modes]
