"""A model that nobody put into eval mode, one that is random and one that keeps state, as a person meets them."""

import pytest
import torch

from diffexport import check

SOURCE = """
import torch

class Dropped(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.drop, self.layer = torch.nn.Dropout(0.5), torch.nn.Linear(4, 4)

    def forward(self, x):
        return self.drop(self.layer(x))

class Always(Dropped):
    def forward(self, x):
        return torch.nn.functional.dropout(self.layer(x), 0.5)

class Hidden(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.hidden = torch.nn.Linear(4, 4), torch.zeros(1, 4)

    def forward(self, x):
        self.hidden = torch.tanh(self.layer(x) + self.hidden)
        return self.hidden
"""


@pytest.fixture
def modes(project):
    (project / "modes.py").write_text(SOURCE)
    return ("--input", "float32[N, 4]", "--jobs", "0", "--examples", "3")


def test_it_is_tested_in_eval_mode_and_the_report_says_so(check, modes):
    ran = check("modes.py:Dropped", *modes, code=0)
    assert "REMARK case 'Dropped' was handed over in training mode; it is tested in eval mode" in ran.out
    (remark,) = ran.report["remarks"]
    assert remark["case"] == "Dropped"
    assert "(a mode with training=TRAINING tests the other)" in remark["message"]


@pytest.mark.parametrize(
    ("model", "said", "checked"),
    [
        ("Always", "the model is random: two calls with the same input differ (output 0: value)", True),
        ("Hidden", "keeps state from call to call", False),
    ],
)
def test_a_random_model_and_one_that_keeps_state_are_one_error_each(check, modes, model, said, checked):
    ran = check(f"modes.py:{model}", *modes, code=2)
    (error,) = ran.report["errors"]
    assert said in error["message"]
    assert ran.report["divergences"] == []
    assert any(result["checks"] for result in ran.report["results"]) is checked


def test_in_python_the_result_says_it():
    result = check(
        torch.nn.Dropout, inputs=["float32[N]"], modes="torchscript", runtimes="ort-disabled", examples=2
    )
    assert result.ok, result
    assert "it is tested in eval mode" in str(result)
