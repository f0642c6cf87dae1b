"""Orders that torch leaves open: any admissible one is excused, with all that follows from it, and no other is."""

import numpy as np
import pytest
import torch
from judging import judged

from diffexport.oracle import Noise
from diffexport.oracle.open_orders import OPEN_ORDERS
from diffexport.oracle.operators import OPERATORS
from diffexport.pytorch import intercepted

NAN, INF = float("nan"), float("inf")


def ints(*values):
    return torch.tensor(values)


def values(*given):
    return torch.tensor(given, dtype=torch.float32)


TIED = values(2, 1, 2, 3, 1, 2)
#: A function, its input, what is admissible, and what is not.
CASES = {
    "topk": (lambda x: x.topk(2).indices, TIED, [[3, 0], [3, 2], [3, 5]], [[3, 1], [0, 3]]),
    "smallest": (lambda x: x.topk(2, largest=False).indices, TIED, [[1, 4], [4, 1]], [[1, 0], [0, 4]]),
    "unsorted topk": (
        lambda x: x.topk(2, sorted=False).indices,
        values(3, 1, 2),
        [[0, 2], [2, 0]],
        [[0, 1], [1, 2]],
    ),
    "sort": (
        lambda x: x.sort().indices,
        TIED,
        [[1, 4, 0, 2, 5, 3], [4, 1, 5, 2, 0, 3]],
        [[1, 4, 0, 2, 3, 5]],
    ),
    "argsort": (
        lambda x: x.argsort(descending=True),
        TIED,
        [[3, 0, 2, 5, 1, 4], [3, 5, 2, 0, 4, 1]],
        [[0, 3, 2, 5, 1, 4]],
    ),
    "sorted nan": (
        lambda x: x.argsort(),
        values(NAN, 1, NAN),
        [[1, 0, 2], [1, 2, 0]],
        [[0, 1, 2], [2, 0, 1]],
    ),
    "stable sort": (lambda x: x.sort(stable=True).indices, TIED, [], [[4, 1, 0, 2, 5, 3]]),
    "kthvalue": (lambda x: x.kthvalue(4).indices, TIED, [0, 2, 5], [1, 3]),
    "median": (lambda x: x.median(0).indices, TIED, [0, 2, 5], [1, 3, 4]),
    "median of nan": (lambda x: x.median(0).indices, values(NAN, 1, NAN), [0, 2], [1]),
    "nanmedian": (lambda x: x.nanmedian(0, keepdim=True).indices, values(NAN, 1, 1), [[1], [2]], [[0]]),
    "mode": (lambda x: x.mode(0).indices, TIED, [0, 2, 5], [1, 3]),
    "argmax": (lambda x: x.argmax(), TIED, [], [0, 2]),
    "argmax of equals": (lambda x: x.argmax(), values(1, 3, 3), [], [2]),
    "max": (lambda x: x.max(0).indices, values(1, 3, 3), [], [2]),
    "argmin of equals": (lambda x: x.argmin(), values(1, 3, 1), [], [2]),
    "distinct values": (lambda x: x.topk(2).indices, values(1, 2, 3), [], [[2, 0], [1, 2]]),
    "distinct sort": (lambda x: x.argsort(), values(1, 2, 3), [], [[0, 2, 1]]),
}


@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name, case in CASES.items() for number in range(len(case[2]))]
)
def test_another_admissible_order_is_excused(name, number):
    function, given, admissible, _ = CASES[name]
    assert judged(function, (given,), np.array(admissible[number])).found == []


@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name, case in CASES.items() for number in range(len(case[3]))]
)
def test_what_is_no_admissible_order_is_reported(name, number):
    function, given, _, wrong = CASES[name]
    assert judged(function, (given,), np.array(wrong[number])).found


def best(x):
    """What a detector does: the rows of the best scores."""
    index = x[..., 2].topk(2, dim=1).indices
    return x.gather(1, index[..., None].expand(-1, -1, 3))


def test_what_follows_from_an_order_is_excused_as_well():
    x = values(1, 10, 7, 2, 20, 7, 3, 30, 7, 4, 40, 1).reshape(1, 4, 3)
    rows = x.numpy()[0]
    for first, second in ((0, 1), (1, 0), (2, 1), (0, 2)):
        assert judged(best, (x,), rows[[first, second]][None]).found == []
    assert judged(best, (x,), rows[[0, 3]][None]).found


def test_many_equals_in_the_order_in_which_they_stand():
    x = torch.zeros(3, 1000)
    for order in (np.arange(1000), np.arange(1000)[::-1]):
        expected = np.repeat(order[None, :7], 3, 0)
        assert judged(lambda x: x.topk(7).indices, (x,), expected).found == []
        assert judged(lambda x: x.argsort(), (x,), np.repeat(order[None], 3, 0)).found == []


def test_zeros_of_different_sign_are_equal():
    function = lambda x: x.sort().values  # noqa: E731
    assert judged(function, (values(0.0, -0.0),), [-0.0, 0.0]).found == []
    assert judged(function, (values(0.0, 0.0),), [-0.0, 0.0]).found


def test_unique_elements_in_any_order_where_they_need_not_be_sorted():
    def function(x):
        return torch.unique(x, sorted=False, return_inverse=True, return_counts=True)

    x = ints(3, 1, 3)
    assert judged(function, (x,), (np.array([3, 1]), np.array([0, 1, 0]), np.array([2, 1]))).found == []
    assert judged(lambda x: torch.unique(x, sorted=True), (x,), [3, 1]).found


def test_results_that_belong_together_stay_together():
    x = torch.randint(0, 3, (4, 9)).float()
    for seed in range(12):
        with intercepted(Noise(seed)):
            top, index = x.topk(5, dim=1)
            found, places = x.median(1)
            unique, inverse, counts = torch.unique(x, sorted=False, return_inverse=True, return_counts=True)
        assert torch.equal(top, x.gather(1, index))
        assert all(len(set(row.tolist())) == 5 for row in index)
        assert torch.equal(found, x.gather(1, places[:, None])[:, 0])
        assert torch.equal(unique[inverse], x)
        assert torch.equal(torch.bincount(inverse.flatten()), counts)


def test_every_operator_with_an_open_order_has_no_noise_else():
    assert all(OPERATORS[name].exact for name in OPEN_ORDERS)


def test_a_run_without_equals_is_not_disturbed():
    with intercepted(noise := Noise(0)):
        values(1, 2, 3).sort()
        values(1, 2, 3).topk(2)
        values(1, 2, 3).median(0)
    assert not noise.disturbed


def kept(boxes, scores):
    """What a detector keeps: of boxes at one place the one with the best score."""
    order = scores.argsort(descending=True)
    best = boxes[order]
    near = (best[:, None] - best[None]).abs().triu(1) * (best[:, None] != best[None])
    return best[~((near > 0) & (near < 1.5)).any(0)]


def test_another_number_of_results_is_excused_if_another_order_gives_it():
    # 1, 2, 3: if 2 comes first, both others are near it; if 1 or 3 does, the other one stays.
    boxes, scores = values(1, 2, 3), values(0.5, 0.5, 0.5)
    given = (boxes, scores)
    eager = kept(*given).numpy()
    assert eager.tolist() in ([1.0], [1.0, 3.0], [1.0, 2.0], [2.0], [3.0, 1.0])
    seen = set()
    for seed in range(40):
        with intercepted(Noise(seed)):
            seen.add(tuple(kept(*given).tolist()))
    assert len({len(result) for result in seen}) > 1
    for result in seen:
        assert judged(kept, given, np.array(result, "float32")).found == []
    assert judged(kept, given, np.array([1, 9], "float32")).found
    assert judged(kept, given, np.array([1, 2, 3, 4], "float32")).found


def test_another_number_of_results_is_reported_where_no_order_is_open():
    def positive(x):
        return x[x > 0]

    (found,) = judged(positive, (values(1, -1, 2),), np.array([1], "float32")).found
    assert found.kind == "shape"


def test_another_number_of_results_is_excused_if_rounding_gives_it():
    def rounded(x):
        return x[torch.exp(torch.log(x)) >= x]

    x = torch.linspace(1.1, 2.3, 5)
    eager = rounded(x).numpy()
    assert judged(rounded, (x,), eager[:-1]).found == []
    assert judged(rounded, (x,), np.append(eager[:-1], [7, 8]).astype("float32")).found
