"""The model's source in a standalone script."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from standalone import INFINITE, PAIR, imported, invented

from diffexport.findings.scripts.script import standalone_script
from diffexport.subjects import catalogue
from diffexport.subjects.cases.case import Case, make_case
from diffexport.subjects.targets import resolving as target
from diffexport.values.verdict import Kind


def script_of(case: Case) -> str:
    text = standalone_script(invented(case, "torchscript", Kind.INFINITY, INFINITE), case)
    compile(text, "script", "exec")
    return text


def test_closure_follows_bases_annotations_decorators_and_changes(module: Any, here: Any) -> None:
    case = module(
        '''
        from __future__ import annotations

        import functools
        import torch
        from dataclasses import dataclass, field
        from typing import TYPE_CHECKING, Any

        if TYPE_CHECKING:
            from collections.abc import Sequence

        try:
            import no_such_module as fast
        except ImportError:
            fast = None

        SIZES: tuple[int, ...] = (1, 2)
        SIZES += (3,)
        LIMIT = min(SIZES)
        other = 5

        def traced(function):
            """Doc."""
            @functools.wraps(function)
            def inner(*args):
                other = function(*args)
                return other
            return inner

        @dataclass
        class Options:
            low: float = 0
            steps: list[Later] = field(default_factory=list)

        class Later:
            pass

        class Base(torch.nn.Module):
            pass

        class Unrelated(Base):
            pass

        class Net(Base):
            @traced
            def forward(self, x: torch.Tensor, sizes: Sequence[int] = SIZES) -> torch.Tensor:
                assert fast is None
                return x.clamp(min=Options().low) * self.scale * LIMIT

        Net.scale = 1
        Unrelated.scale = 2
        print("not part of it")
        '''
    )
    text = script_of(case)
    for part in (
        "from __future__ import annotations\n",
        "try:\n    import no_such",
        "@dataclass\nclass Options",
    ):
        assert part in text
    for part in ("SIZES += (3,)", "Net.scale = 1\n", "if TYPE_CHECKING:\n    from coll", "class Later"):
        assert part in text
    for part in ("Unrelated", "not part of it", "other = 5", "import Any"):
        assert part not in text
    assert text.index("class Base") < text.index("class Net") < text.index("Net.scale")
    assert here(text)["main"]() is True


def test_only_the_names_in_use_are_imported() -> None:
    text = script_of(catalogue.load("clamp"))
    assert "from typing import Any\n" in text
    assert "make_case" not in text
    assert "ENTRIES" not in text
    assert "class TopThree" not in text
    assert "type: ignore" not in text
    assert imported(text) == {"copy", "io", "sys", "warnings", "typing", "numpy", "onnxruntime", "torch"}


def test_factory_instance_and_reexport(module: Any, here: Any) -> None:
    source = """
        import torch

        class Net(torch.nn.Module):
            def forward(self, x):
                return x.clamp(min=0)

        def make():
            return Net()

        instance = make()
        Alias = Net
    """
    for name, made in (("make", "make()"), ("instance", "instance"), ("Alias", "Net()")):
        text = script_of(module(source, name))
        assert f"    model = {made}\n" in text
        assert here(text)["main"]() is True


def test_registration_by_diffexport_is_left_out(module: Any, here: Any) -> None:
    case = module(
        """
        import torch
        from diffexport.versions import functools as registry

        class Net(torch.nn.Module):
            def forward(self, x):
                return x.clamp(min=0)

        @registry.cache
        def make():
            return Net()
        """,
        "make",
    )
    text = script_of(case)
    assert "registry" not in text
    assert "could not be copied" not in text
    assert here(text)["main"]() is True


def test_relative_and_star_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Any) -> None:
    package = tmp_path / "package_for_script"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "ops.py").write_text("def floor(x):\n    return x.clamp(min=0)\n")
    source = "import torch\nfrom math import *\nfrom .ops import floor\n"
    source += "class Net(torch.nn.Module):\n    def forward(self, x):\n        return floor(x) * cos(0)\n"
    (package / "models.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    text = script_of(target.resolve("package_for_script.models:Net", inputs=["float32[...]"]))
    assert "from package_for_script.ops import floor\n" in text
    assert "from math import *\n" in text
    assert "# Needs package_for_script as well\n" in text
    monkeypatch.syspath_prepend(str(tmp_path))
    assert here(text)["main"]() is True


def test_random_weights_are_pointed_out(module: Any) -> None:
    source = """
        import torch

        class Net(torch.nn.Module):
            def __init__(self):
                super().__init__()
                {line}

            def forward(self, x):
                return x
    """
    assert "torch.manual_seed(0)" in script_of(
        module(source.format(line="self.inner = torch.nn.Linear(1, 1)"))
    )
    assert "torch.manual_seed" not in script_of(module(source.format(line="pass")))


LAMBDA = """
    import torch
    import diffexport.subjects.cases

    class Net(torch.nn.Module):
        def __init__(self, low):
            super().__init__()
            self.low = low

        def forward(self, x):
            return x.clamp(min=self.low)

    case = diffexport.subjects.cases.make_case("mine", lambda: Net(0), inputs=["float32[...]"])
"""


def test_lambda_falls_back_to_the_target(module: Any, here: Any) -> None:
    case = module(LAMBDA, "case")
    text = script_of(case)
    assert "# The model's source could not be copied: it needs 'import diffexport.subjects.cases'" in text
    assert f'spec_from_file_location("target", {case.target.rpartition(":")[0]!r})' in text
    assert "diffexport" not in imported(text)
    assert here(text)["main"]() is True


def test_lambda_in_an_importable_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Any) -> None:
    (tmp_path / "my_models_for_script.py").write_text(textwrap.dedent(LAMBDA), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    text = script_of(target.resolve("my_models_for_script:case"))
    assert "target = importlib.import_module('my_models_for_script')" in text
    assert here(text)["main"]() is True


NESTED = """
    import torch

    class Node:
        class Clip(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x.clamp(min=0)
"""


@pytest.mark.parametrize("flags", ["", "+stubs", "+stubs+parameter"])
def test_a_function_inside_a_class_is_had_by_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Any, flags: str
) -> None:
    (tmp_path / "my_nodes_for_script.py").write_text(textwrap.dedent(NESTED), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    text = script_of(target.resolve(f"my_nodes_for_script:Node.Clip{flags}", inputs=["float32[...]"]))
    assert "put the model here" not in text
    assert "Node.Clip.apply(" in text
    assert here(text)["main"]() is True


def test_closure_without_a_target_leaves_a_gap(here: Any) -> None:
    low = 0

    class Local(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.clamp(min=low)

    for build in (Local, lambda: Local()):
        text = script_of(make_case("mine", build, inputs=["float32[...]"]))
        assert "could not be copied" in text
        with pytest.raises(NotImplementedError, match="put the model here"):
            here(text)["main"]()


def test_names_of_the_script_are_not_shadowed(module: Any, here: Any) -> None:
    case = module(
        """
        import torch

        def export(x):
            return x.clamp(min=0)

        class Net(torch.nn.Module):
            def forward(self, x):
                return export(x)
        """
    )
    text = script_of(case)
    assert "both define export" in text
    assert here(text)["main"]() is True


def test_part_of_torch_is_imported(here: Any) -> None:
    case = target.resolve("torch.nn:ReLU", inputs=["float32[...]"])
    text = standalone_script(invented(case, "torchscript", Kind.VALUE, PAIR), case)
    assert "it is part of torch" in text
    assert here(text)["main"]() is False


@pytest.mark.parametrize(
    ("name", "call"), [("Bend", "Bend.apply(x0, 0.25, torch.float16)"), ("Bends", "self.inner(x0, 0.25")]
)
def test_constants_are_written_into_the_call(tmp_path: Path, here: Any, name: str, call: str) -> None:
    path = tmp_path / "bends.py"
    path.write_text(
        textwrap.dedent(
            """
            import torch

            class Bend(torch.autograd.Function):
                @staticmethod
                def forward(ctx, x, alpha, dtype):
                    return (x * alpha).to(dtype)

            class Bends(torch.nn.Module):
                def forward(self, x, alpha, dtype):
                    return Bend.apply(x, alpha, dtype)
            """
        )
    )
    case = target.resolve(f"{path}:{name}", inputs=["float32[...]", "just(0.25)", "just(torch.float16)"])
    text = standalone_script(invented(case, "torchscript", Kind.VALUE, PAIR), case)
    assert call in text
    assert here(text)["main"]() is False
