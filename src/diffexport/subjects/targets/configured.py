"""Models of a target that says how they are made: with which arguments, and which weights they get."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffexport.errors import TargetError, error_line, error_text, shown
from diffexport.processes import raised_by_code, without_copies

#: The package that reads files of weights, and the extra that it comes with.
_READER = "safetensors"
#: Names that are told of those that do not fit, and bytes that are read at once.
_TOLD, _CHUNK = 3, 1 << 22


def literal_arguments(text: str, target: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional arguments and keywords of ``(64, layers=2)``; they are literals, and nothing is evaluated.

    Raises:
        TargetError: something in it is no literal.
    """
    try:
        call = ast.parse(f"f{text}", mode="eval").body
        assert isinstance(call, ast.Call)
        if any(key.arg is None for key in call.keywords):
            raise ValueError("**")
        args = tuple(ast.literal_eval(item) for item in call.args)
        return args, {str(key.arg): ast.literal_eval(key.value) for key in call.keywords}
    except (SyntaxError, ValueError, TypeError, AssertionError, RecursionError, MemoryError):
        raise TargetError(
            f"target {shown(target)}: {shown(text)} are no arguments that a target may have: numbers, texts, True, "
            "False, None, and tuples, lists and dicts of them, also by name"
        ) from None


def called(value: Any, arguments: str, target: str) -> Callable[[], Any]:
    """Return what calls a class or a factory with the arguments of a target.

    Raises:
        TargetError: they are no literals.
    """
    args, kwargs = literal_arguments(arguments, target)

    def build() -> Any:
        try:
            with without_copies():
                return value(*args, **kwargs)
        except raised_by_code() as error:
            raise TargetError(
                f"target {target!r}: calling it raises {type(error).__name__}: {error_text(error)}"
            ) from error

    return build


@dataclass(frozen=True)
class Weights:
    """A file of weights.

    Attributes:
        path: of a ``.safetensors`` file.
        digest: the SHA-256 of its content, in hexadecimal; empty where nobody has written it down.
    """

    path: str
    digest: str = ""

    @classmethod
    def of_file(cls, path: Path) -> Weights:
        """Return the weights in a file as it is now.

        Raises:
            TargetError: it cannot be read.
        """
        return cls(path.as_posix(), _digest(path, f"--weights {path}"))

    @classmethod
    def parse(cls, text: str, target: str) -> Weights:
        """Return the weights that ``('net.safetensors', 'digest')`` stands for.

        Raises:
            TargetError: it is something else.
        """
        args, kwargs = literal_arguments(text or "()", target)
        if kwargs or len(args) not in (1, 2) or not all(isinstance(item, str) for item in args):
            raise TargetError(f"target {shown(target)}: write +weights('FILE.safetensors')")
        return cls(*args)

    def __str__(self) -> str:
        return f"+weights({self.path!r}{f', {self.digest!r}' if self.digest else ''})"


def _digest(path: Path, what: str) -> str:
    state = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                state.update(chunk)
    except OSError as error:
        raise TargetError(f"{what}: the weights cannot be read: {error.strerror or error}") from None
    return state.hexdigest()


@dataclass(frozen=True, eq=False)
class WithWeights:
    """Makes a module and gives it weights from a file."""

    build: Callable[[], Any]
    weights: Weights
    target: str

    def __call__(self) -> Any:
        """Return the module.

        Raises:
            TargetError: the file is gone, is another one than it was, or does not fit.
        """
        import torch

        what = f"target {self.target!r}"
        try:
            from safetensors import SafetensorError, safe_open
            from safetensors.torch import load_model
        except ImportError:
            raise TargetError(
                f"{what}: weights need the package {_READER}; it comes with diffexport[weights]"
            ) from None
        path = Path(self.weights.path)
        if not path.is_file():
            raise TargetError(f"{what}: there is no file of weights {path}")
        if self.weights.digest and _digest(path, what) != self.weights.digest:
            raise TargetError(
                f"{what}: the weights in {path} are others than they were: the content of the file is changed"
            )
        module = self.build()
        if not isinstance(module, torch.nn.Module):
            raise TargetError(
                f"{what}: weights are for a torch.nn.Module, and it is a {type(module).__name__}"
            )
        try:
            with safe_open(path, framework="pt") as file:
                shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
            wrong = [
                f"{name} ({list(shape)} in the file, {list(wanted[name])} in the model)"
                for name, shape in shapes.items()
                if wanted.get(name, shape) != shape
            ]
            if wrong:
                raise TargetError(
                    f"{what}: the weights in {path} do not fit: {_some(wrong)} of another shape"
                )
            missing, unexpected = load_model(module, path, strict=False)
        except (SafetensorError, OSError, RuntimeError) as error:
            raise TargetError(
                f"{what}: the weights in {path} cannot be loaded: {error_line(error)}"
            ) from None
        problems = [f"{_some(missing)} not in the file"] if missing else []
        problems += [f"{_some(unexpected)} not in the model"] if unexpected else []
        if problems:
            raise TargetError(f"{what}: the weights in {path} do not fit: {', and '.join(problems)}")
        return module


def _some(names: Iterable[str]) -> str:
    """Return the first few of some names, with how many there are."""
    ordered = sorted(names)
    more = f", … ({len(ordered)} in all)" if len(ordered) > _TOLD else ""
    return f"{', '.join(ordered[:_TOLD])}{more} {'is' if len(ordered) == 1 else 'are'}"
