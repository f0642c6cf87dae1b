"""ONNX Runtime's other execution providers: families of their own, which are there where ONNX Runtime has them."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from diffexport.backends.runtimes import LoadError, available, compared_with, family, load, runtime_of, select
from diffexport.errors import UsageError

PROVIDERS = {
    "ort-cuda": "CUDAExecutionProvider",
    "ort-openvino": "OpenVINOExecutionProvider",
    "ort-xnnpack": "XnnpackExecutionProvider",
}


def model():
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "graph", ends[:1], ends[1:])
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()


@pytest.fixture
def offered(monkeypatch):
    """Have ONNX Runtime offer some providers, and take sessions for ones that use ``used``."""

    def set_to(*providers, used=None):
        monkeypatch.setattr(
            onnxruntime, "get_available_providers", lambda: [*providers, "CPUExecutionProvider"]
        )
        whole = onnxruntime.InferenceSession
        asked = []

        class Session(whole):
            def __init__(self, model, options, providers):
                asked.append(providers)
                super().__init__(model, options, providers=["CPUExecutionProvider"])
                self.used = [one for one in providers if used is None or one in used]

            def get_providers(self):
                return self.used

        monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
        return asked

    return set_to


@pytest.mark.parametrize(("name", "provider"), PROVIDERS.items())
def test_without_the_provider_it_is_unavailable_and_says_why(offered, name, provider):
    offered()
    assert f"has no {provider}, only CPUExecutionProvider" in runtime_of(name).unavailable()
    with pytest.raises(
        UsageError, match=f"runtime '{name}' is not available: onnxruntime .* has no {provider}"
    ):
        select([name])
    with pytest.raises(UsageError, match=f"runtime '{name}' is not available"):
        load(name, model())


@pytest.mark.parametrize(("name", "provider"), PROVIDERS.items())
def test_with_the_provider_it_is_run_on_it_when_asked_for(offered, name, provider):
    asked = offered(provider)
    assert select([name]) == (name,)
    (got,) = load(name, model()).run({"x": np.array([1, 2], "float32")})
    assert got.tolist() == [-1, -2]
    assert asked == [[provider, "CPUExecutionProvider"]]
    assert name not in select(["all"])
    assert name not in select(["ort"])


@pytest.mark.parametrize(("name", "provider"), PROVIDERS.items())
def test_a_provider_that_does_not_start_is_not_replaced_in_silence(offered, name, provider):
    offered(provider, used=["CPUExecutionProvider"])
    with pytest.raises(LoadError, match=f"cannot start {provider} and falls back to CPUExecutionProvider"):
        load(name, model())


def test_none_is_of_the_family_of_the_cpu(offered):
    offered(*PROVIDERS.values())
    assert {family(name) for name in PROVIDERS} == set(PROVIDERS)
    assert {family(name) for name in available()} == {"ort", "reference"}
    # Blame asks it besides the others, not in place of one.
    assert compared_with("ort-cuda") == (*available(), "ort-cuda")
    assert compared_with("ort-all") == available()
