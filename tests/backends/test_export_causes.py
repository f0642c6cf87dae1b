"""What an export error comes down to: the innermost exception, the operator, the user's line, and no boilerplate."""

import inspect

import pytest
import torch

from diffexport.backends import exporters
from diffexport.backends.exporters.export_causes import cause_of
from diffexport.values import Mode

STEPS = (
    "Failed to export the model with torch.export. \x1b[96mThis is step 1/3\x1b[0m of exporting the model to ONNX. "
    "Next steps:\n- Modify the model code for `torch.export.export` to succeed.\n\n## Exception summary\n\n"
)


def raised(*errors):
    """Return the last of some errors, each raised from the one before it."""
    before = None
    for error in errors:
        try:
            raise error from before
        except Exception as caught:  # noqa: BLE001 - they are of any type
            before = caught
    return before


def test_the_innermost_exception_speaks_and_boilerplate_does_not():
    inner = RuntimeError("aten::erfc: no kernel 0x7f12ab for 3 values\n\nUse tlparse to see the full graph.")
    cause = cause_of(raised(inner, ValueError(STEPS + "aten::erfc: no kernel")))
    assert (cause.error, cause.operator) == ("RuntimeError", "aten::erfc")
    assert cause.message == "aten::erfc: no kernel 0x7f12ab for 3 values"
    assert cause.text == "RuntimeError: aten::erfc: no kernel 0x… for # values (aten::erfc)"
    assert cause.description.startswith("RuntimeError: aten::erfc")


def test_only_boilerplate_is_better_than_nothing():
    cause = cause_of(ValueError("Next steps:\n- do something"))
    assert cause.message.startswith("Next steps")
    assert "\x1b" not in cause_of(ValueError(STEPS)).description


def test_a_lookup_before_an_error_is_not_its_cause():
    error = ValueError("no symbolic for sub")
    error.__context__ = KeyError("sub")
    assert cause_of(error).message == "no symbolic for sub"
    error.__context__ = RuntimeError("what was first")
    assert cause_of(error).message == "what was first"


def test_an_error_without_a_word_is_passed_over():
    assert cause_of(raised(RuntimeError(""), ValueError("what is wrong"))).message == "what is wrong"


def test_a_chain_without_end_ends():
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert cause_of(one).message == "other"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            f'Original traceback:\n  File "{__file__}", line 1, in a\n  File "{__file__}", line 3, in b',
            "3 in b",
        ),
        (f"Defined at:\n{__file__}(5): forward\n{__file__}(9): outer", "5 in forward"),
        (f'  File "{torch.__file__}", line 3, in b', ""),
    ],
)
def test_the_innermost_line_of_the_users(text, line):
    assert line in cause_of(RuntimeError(f"it fails\n{text}")).line
    assert line or not cause_of(RuntimeError(f"it fails\n{text}")).line


class Refused(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x + 1

    @staticmethod
    def backward(ctx, g):
        return g

    @staticmethod
    def symbolic(g, x):
        raise NotImplementedError("only an ordinary conversion is there")


class Model(torch.nn.Module):
    def forward(self, x):
        return Refused.apply(x)


def test_a_symbolic_that_raises_is_named_with_its_line():
    failure = exporters.export(Model(), (torch.zeros(2),), Mode("torchscript")).failure
    assert failure is not None
    assert failure.cause is not None
    assert failure.cause.error == "NotImplementedError"
    number = inspect.getsourcelines(Refused.symbolic)[1] + 2
    assert f"{number} in symbolic: raise NotImplementedError" in failure.cause.line
    assert failure.signature == "NotImplementedError: only an ordinary conversion is there"
