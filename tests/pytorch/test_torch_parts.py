"""What code changes of torch's state is seen, told and put back."""

import pytest
import torch

from diffexport.processes import StateSnapshot, process_parts
from diffexport.pytorch import torch_parts


def patch_operator():
    torch.relu = torch.abs


def patch_method():
    torch.Tensor.tolist = lambda self: [0]


def patch_layer():
    torch.nn.Linear.forward = lambda self, x: x


def patch_functional():
    torch.nn.functional.gelu = lambda x: x


def register_hook():
    torch.nn.modules.module.register_module_forward_hook(lambda *_: None)


CHANGES = {
    "dtype": (lambda: torch.set_default_dtype(torch.float64), "changes the default dtype to torch.float64"),
    "device": (lambda: torch.set_default_device("meta"), "changes the default device to meta"),
    "threads": (lambda: torch.set_num_threads(3), "changes the number of torch's threads to 3"),
    "algorithms": (
        lambda: torch.use_deterministic_algorithms(True, warn_only=True),
        "changes whether algorithms are deterministic to (True, True, True)",
    ),
    "cudnn": (lambda: setattr(torch.backends.cudnn, "benchmark", True), "changes how cuDNN is used to "),
    "precision": (
        lambda: torch.set_float32_matmul_precision("medium"),
        "changes the precision of float32 products to medium",
    ),
    "gradients": (lambda: torch.set_grad_enabled(False), "changes whether gradients are recorded to False"),
    "autocast": (lambda: torch.set_autocast_enabled("cpu", True), "changes what autocast does"),
    "anomalies": (
        lambda: torch.autograd.set_detect_anomaly(True),
        "changes whether autograd looks for anomalies to True",
    ),
    "denormals": (
        lambda: torch.set_flush_denormal(True),
        "changes whether denormal numbers are flushed to True",
    ),
    "seed": (lambda: torch.manual_seed(4711), "seeds torch's random numbers with 4711"),
    "hooks": (register_hook, "registers hooks for every module"),
    "an operator": (patch_operator, "replaces torch.relu"),
    "a method": (patch_method, "replaces torch.Tensor.tolist"),
    "a layer": (patch_layer, "replaces torch.nn.Linear.forward"),
    "a function": (patch_functional, "replaces torch.nn.functional.gelu"),
}


@pytest.fixture
def snapshot():
    before = StateSnapshot((*process_parts(), *torch_parts()))
    yield before
    before.put_back()


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_told_and_put_back(snapshot, what):
    change, text = CHANGES[what]
    change()
    changes = snapshot.put_back()
    assert [one[: len(text)] for one in changes.restored] == [text]
    assert not changes.lasting
    assert snapshot.put_back() == type(changes)()


def test_drawing_random_numbers_is_nothing_to_tell(snapshot):
    seen = torch.rand(10_000)
    changes = snapshot.put_back()
    assert changes == type(changes)()
    assert torch.equal(torch.rand(10_000), seen)


def test_a_mode_that_is_not_left_lasts(snapshot):
    mode = torch.overrides.BaseTorchFunctionMode()
    mode.__enter__()
    try:
        changes = snapshot.put_back()
    finally:
        mode.__exit__(None, None, None)
    assert changes.lasting == ("leaves torch in another mode",)
