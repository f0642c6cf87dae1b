"""The names and statuses of docs/infer.md."""

import json
import re
from pathlib import Path

import pytest

import diffexport.infer
from diffexport.infer import RAN, STATUSES, Inference, InferenceStatus

DOCUMENT = (Path(__file__).parents[2] / "docs" / "infer.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", re.findall(r"`diffexport\.infer\.(\w+)", DOCUMENT))
def test_documented_names_are_there(name):
    assert callable(getattr(diffexport.infer, name))


def test_every_status_is_documented_and_has_a_meaning():
    table = DOCUMENT.partition("## Statuses")[2].partition("\n## ")[0]
    documented = re.findall(r"`([a-z-]+)`", "".join(re.findall(r"^\|([^|]*)\|", table, re.M)))
    assert sorted(documented) == sorted(InferenceStatus)
    assert list(STATUSES) == list(InferenceStatus)
    assert all(STATUSES.values())
    assert RAN == ("inferred", "random", "stateful", "mutates-input", "non-tensor")


@pytest.mark.parametrize("status", InferenceStatus)
def test_a_status_is_stored_as_its_text(status):
    stored = json.dumps(Inference(status, ("float32[N]",)).document())
    assert f'"status": "{status.value}"' in stored
    again = Inference.from_document(json.loads(stored))
    assert again.status is status
    assert again.ran is (status in RAN)
