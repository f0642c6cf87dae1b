"""How often the oracle reports what is only rounding: generated checks of equivalent partners; the goal is 0 reported.

    python benchmarks/false_alarms.py [--checks N] [--seed N] [--json FILE] [MODEL…]

Models are the catalogue's, and a few more of sums, products and activations. Each sample, extreme values included,
is checked against partners that compute the same thing in another way:

- ``one-by-one``: eager on one element or row at a time, where kernels take their scalar instead of vector path;
- ``reassociated``: eager with the terms of every sum and matrix product in reverse order;
- ``rounded-ops``: eager with every operator computed in float64 and rounded once;
- ``rounded-once``: the whole model in float64, in which only the range of float32 is kept, its outputs rounded once;
- ``reference``: the reference evaluator against eager;
- ``optimised``: ONNX Runtime with all optimisations against ONNX Runtime without.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffexport import Mode, oracle
from diffexport.arrays.bridge import to_array, to_tensor
from diffexport.oracle import WIDE, rule_of
from diffexport.pipeline import Pipeline
from diffexport.pytorch.dispatch import intercepted
from diffexport.strategies import decode_block, ordinary
from diffexport.strategies.tables import VARIANTS
from diffexport.subjects import catalogue
from diffexport.subjects.cases.case import Case, make_case

MODE = Mode("torchscript", dynamic=True)
RUNTIMES = ("ort-disabled", "ort-all", "reference")
SHAPES = ((2, 5), (1, 3), (4, 7), (3, 4))
BLOCK = 64


class Composed(torch.nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


class Perceptron(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(5, 16), torch.nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.tanh(self.first(x)))


#: Models beyond the catalogue; a value is the function, or the class of a module.
MORE: dict[str, Any] = {
    "mean_square": lambda x: (x * x).mean(-1),
    "softmax": lambda x: torch.softmax(x, -1),
    "log_softmax": lambda x: torch.log_softmax(x, -1),
    "naive_logsumexp": lambda x: x.exp().sum(-1).log(),
    "centred": lambda x: x - x.mean(-1, keepdim=True),
    "gelu": torch.nn.functional.gelu,
    "sigmoid": lambda x: x * torch.sigmoid(x),
    "rounded": lambda x: torch.round(x * 3.3) / 3.3,
    "products": lambda x: x @ x.transpose(-1, -2),
    "perceptron": Perceptron,
}


#: What is not equivalent, and why.
LEFT_OUT = {
    ("products", "one-by-one"): "a row of the product needs all rows",
    ("log_softmax", "reference"): "it takes the logarithm of a softmax that has underflowed to 0",
}


def cases(names: Sequence[str]) -> Iterator[Case]:
    for name in names or (*catalogue.expand([catalogue.MAIN_JOB]), *MORE):
        if name in catalogue.ENTRIES:
            yield catalogue.load(name)
        else:
            made = MORE[name]
            build = made if isinstance(made, type) else lambda made=made: Composed(made)
            spec = "float32[N, 5]" if made is Perceptron else "float32[N, M]"
            yield make_case(name, build, inputs=[spec], traits=())


def samples(case: Case, number: int, seed: int) -> list[tuple[Any, ...]]:
    shape = SHAPES[0] if case.name == "perceptron" else SHAPES[number % len(SHAPES)]
    size = int(np.prod(shape))
    data = np.random.default_rng((seed, number)).bytes(size * BLOCK + 8 * BLOCK)
    return decode_block(data, [shape], case.specs, variant=number % VARIANTS, limit=BLOCK)


def arrays(result: Any) -> list[np.ndarray[Any, Any]]:
    together = (result,) if isinstance(result, torch.Tensor) else result
    return [to_array(tensor.contiguous()).copy() for tensor in together]


def one_by_one(model: torch.nn.Module, x: torch.Tensor) -> Any:
    rows = [model(row[None].clone()) for row in x]
    if isinstance(rows[0], torch.Tensor):
        return torch.cat(rows)
    return [torch.cat(parts) for parts in zip(*rows, strict=True)]


def reassociated(op: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
    if op.base in ("sum", "mean") and len(args) > 1 and args[1]:
        return op.run(args[0].flip(args[1]), *args[1:], **kwargs)
    if op.base in ("mm", "bmm"):
        return op.run(args[0].flip(-1), args[1].flip(-2), **kwargs)
    if op.base == "addmm":
        return op.run(args[0], args[1].flip(-1), args[2].flip(-2), **kwargs)
    return op.run(*args, **kwargs)


def rounded_ops(op: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
    result = op.run(*args, **kwargs)
    if op.writes or rule_of(op).exact or not isinstance(result, torch.Tensor):
        return result
    wide = [a.to(WIDE[a.dtype]) if isinstance(a, torch.Tensor) and a.dtype in WIDE else a for a in args]
    return op.run(*wide, **kwargs).to(result.dtype)


def ranged(op: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
    """Let results overflow and underflow where those of float32 would."""
    result = op.run(*args, **kwargs)
    if op.is_view or not isinstance(result, torch.Tensor) or result.dtype is not torch.float64:
        return result
    narrow = result.to(torch.float32).to(torch.float64)
    return torch.where(torch.isinf(narrow) | (narrow == 0), narrow, result)


def partners(model: torch.nn.Module, double: torch.nn.Module, x: torch.Tensor) -> Iterator[tuple[str, Any]]:
    yield "one-by-one", one_by_one(model, x.clone())
    for name, handler in (("reassociated", reassociated), ("rounded-ops", rounded_ops)):
        with intercepted(handler):
            yield name, model(x.clone())
    with intercepted(ranged):
        wide = double(x.to(torch.float64))
    yield "rounded-once", wide


def check(case: Case, wanted: int, seed: int, table: dict[str, Counter[str]], worst: list[str]) -> None:
    """Make about ``wanted`` checks of one case, and count them by partner."""
    pipeline = Pipeline()
    model = pipeline.prepare(case).module.eval()
    double = copy.deepcopy(model).double()
    example = ordinary([SHAPES[0]], ["float32"])
    done = number = 0

    def count(partner: str, judgement: oracle.ComparisonResult, sample: Any) -> None:
        nonlocal done
        if (case.name, partner) in LEFT_OUT:
            return
        done += 1
        tally = table.setdefault(partner, Counter())
        tally["checks"] += 1
        tally["arbitrated"] += judgement.arbitrated
        tally["excused"] += judgement.excused
        failures = [d for d in judgement.found if d.severity == "failure"]
        tally["notes"] += bool(judgement.found) and not failures
        tally["reported"] += bool(failures)
        if failures:
            worst.append(f"{case.name}, {partner}: {failures[0].message}; input {sample!r}")

    while done < wanted:
        drawn = samples(case, number, seed)
        number += 1
        with torch.no_grad(), pipeline.block(case, MODE, RUNTIMES, export_inputs=example) as block:
            for given, verdicts in zip(drawn, block.each(drawn), strict=True):
                if not verdicts[0].eager:
                    continue
                x = to_tensor(np.array(given[0]))
                rerun = pipeline.rerun(case, MODE, given)
                eager = verdicts[0].eager
                arbiter = oracle.RoundingCheck(eager, rerun)
                for name, result in partners(model, double, x):
                    with np.errstate(all="ignore"):
                        got = [g.astype(e.dtype) for g, e in zip(arrays(result), eager, strict=True)]
                    count(name, arbiter.judge(got), given[0])
                plain, optimised, reference = verdicts
                if reference.got and (case.name, "reference") not in LEFT_OUT:
                    count("reference", arbiter.judge(reference.got), given[0])
                if plain.got and optimised.got:
                    count("optimised", oracle.RoundingCheck(plain.got, rerun).judge(optimised.got), given[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--checks", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("models", nargs="*", metavar="MODEL")
    options = parser.parse_args()
    chosen = list(cases(options.models))
    table: dict[str, Counter[str]] = {}
    worst: list[str] = []
    # Threads that wait for each other take most of the time for small tensors.
    torch.set_num_threads(1)
    started = time.perf_counter()
    for case in chosen:
        before = len(worst)
        check(case, -(-options.checks // len(chosen)), options.seed, table, worst)
        print(f"{case.name}: {len(worst) - before} reported", flush=True)
        for line in worst[before : before + 3]:
            print(f"  {line}")
    total = Counter[str]()
    columns = ("checks", "arbitrated", "excused", "notes", "reported")
    print(f"\n{'partner':<14}" + "".join(f"{column:>12}" for column in columns))
    for name, tally in table.items():
        total.update(tally)
        print(f"{name:<14}" + "".join(f"{tally[column]:>12,}" for column in columns))
    print(f"{'all':<14}" + "".join(f"{total[column]:>12,}" for column in columns))
    print(f"{time.perf_counter() - started:.0f} s")
    if options.json:
        document = {
            "checks": total["checks"],
            "seed": options.seed,
            "reported": total["reported"],
            "partners": {
                name: {column: tally[column] for column in columns} for name, tally in table.items()
            },
            "examples": worst[:50],
        }
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 1 if total["reported"] else 0


if __name__ == "__main__":
    sys.exit(main())
