"""How often the oracle reports what is only rounding: generated checks of equivalent partners; the goal is 0 reported.

    python benchmarks/false_alarms.py [--checks N] [--modules] [--seed N] [--json FILE] [MODEL…]

Models are the catalogue's, and a few more of sums, products and activations; with ``--modules`` those of ``torch.nn``
in ``torch_modules.py`` (a MODEL is then a module or a group of them). Each sample, extreme values included, is checked
against partners that compute the same thing in another way:

- ``one-by-one``: eager on one element or row at a time, where kernels take their scalar instead of vector path;
- ``reassociated``: eager with the terms of every sum and matrix product in reverse order;
- ``rounded-ops``: eager with every operator computed in float64 and rounded once;
- ``rounded-once``: the whole model in float64, in which only the range of float32 is kept, its outputs rounded once;
- ``reference``: the reference evaluator against eager;
- ``optimised``: ONNX Runtime with all optimisations against ONNX Runtime without.

Modules have these, save for the reference evaluator, and two more:

- ``unfused``: eager with fused operators (attention, LSTM layers) run by their parts;
- ``reversed``: the rows of the batch in reverse order, and those of the result put back;

What an export itself gives against eager is no partner: much of it differs by more than rounding, and is found.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch_modules import Entry, drawn, entries

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
#: How modules are exported.
STATIC = Mode("torchscript")


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
LEFT_OUT: dict[tuple[str, str], str] = {
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


class Tally:
    """Counts checks by partner, and keeps what was reported."""

    COLUMNS = ("checks", "arbitrated", "excused", "notes", "reported")

    def __init__(self) -> None:
        self.partners: dict[str, Counter[str]] = {}
        self.worst: list[str] = []
        self.done = 0

    def count(self, name: str, partner: str, judgement: oracle.ComparisonResult, sample: Any) -> None:
        """Count one check of a model."""
        if (name, partner) in LEFT_OUT:
            return
        self.done += 1
        tally = self.partners.setdefault(partner, Counter())
        tally["checks"] += 1
        tally["arbitrated"] += judgement.arbitrated
        tally["excused"] += judgement.excused
        failures = [d for d in judgement.found if d.severity == "failure"]
        tally["notes"] += bool(judgement.found) and not failures
        tally["reported"] += bool(failures)
        if failures:
            self.worst.append(f"{name}, {partner}: {failures[0].message}; input {sample!r}")


def inner_handlers() -> Iterator[tuple[str, Any]]:
    yield "reassociated", reassociated
    yield "rounded-ops", rounded_ops
    yield "unfused", lambda op, args, kwargs: op.run(*args, **kwargs)


def module_partners(entry: Entry, module: torch.nn.Module, given: Sequence[torch.Tensor]) -> Iterator[Any]:
    for name, handler in inner_handlers():
        with intercepted(handler):
            yield name, arrays(module(*[x.clone() for x in given]))
    with intercepted(ranged):
        wide = [x.double() if x.is_floating_point() else x for x in given]
        yield "rounded-once", arrays(copy.deepcopy(module).double()(*wide))
    if entry.rows == "none":
        return
    result = arrays(module(*[x.flip(0) for x in given]))
    yield "reversed", [array[::-1] if entry.rows == "each" else array for array in result]
    if entry.rows == "each":
        rows = [arrays(module(*[x[n : n + 1] for x in given])) for n in range(len(given[0]))]
        yield "one-by-one", [np.concatenate(parts) for parts in zip(*rows, strict=True)]


def check_module(entry: Entry, wanted: int, seed: int, tally: Tally) -> None:
    """Make about ``wanted`` checks of one module."""
    random = np.random.default_rng((seed, zlib.crc32(entry.name.encode())))
    example = [drawn(text, random, extreme=False) for text in entry.inputs]
    specs = [f"{str(x.dtype).removeprefix('torch.')}{list(x.shape)}" for x in example]
    case = make_case(entry.name, lambda: entry.build().eval(), inputs=specs, traits=())
    pipeline = Pipeline()
    module = pipeline.prepare(case).module.eval()
    before = tally.done
    while tally.done - before < wanted:
        block = [tuple(drawn(text, random, True).numpy() for text in entry.inputs) for _ in range(BLOCK // 4)]
        with (
            torch.no_grad(),
            pipeline.block(case, STATIC, RUNTIMES[:2], export_inputs=[x.numpy() for x in example]) as judged,
        ):
            for given, verdicts in zip(block, judged.each(block), strict=True):
                tensors = [to_tensor(np.array(x)) for x in given]
                eager = arrays(module(*[x.clone() for x in tensors]))
                rerun = pipeline.rerun(case, STATIC, given)
                arbiter = oracle.RoundingCheck(eager, rerun)
                for name, got in module_partners(entry, module, tensors):
                    with np.errstate(all="ignore"):
                        same = [np.array(g, e.dtype, order="C") for g, e in zip(got, eager, strict=True)]
                    tally.count(entry.name, name, arbiter.judge(same), given)
                plain, optimised = verdicts
                if plain.got and optimised.got:
                    other = oracle.RoundingCheck(plain.got, rerun).judge(optimised.got)
                    tally.count(entry.name, "optimised", other, given)


def check(case: Case, wanted: int, seed: int, tally: Tally) -> None:
    """Make about ``wanted`` checks of one case, and count them by partner."""
    pipeline = Pipeline()
    model = pipeline.prepare(case).module.eval()
    double = copy.deepcopy(model).double()
    example = ordinary([SHAPES[0]], ["float32"])
    before, number = tally.done, 0

    def count(partner: str, judgement: oracle.ComparisonResult, sample: Any) -> None:
        tally.count(case.name, partner, judgement, sample)

    while tally.done - before < wanted:
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
    parser.add_argument("--modules", action="store_true", help="check modules of torch.nn")
    parser.add_argument("models", nargs="*", metavar="MODEL")
    options = parser.parse_args()
    chosen: list[Any]
    if options.modules:
        wanted = set(options.models)
        chosen = [one for one in entries() if not wanted or {one.name, one.group} & wanted]
    else:
        chosen = list(cases(options.models))
    tally = Tally()
    # Threads that wait for each other take most of the time for small tensors.
    torch.set_num_threads(1)
    started = time.perf_counter()
    share = -(-options.checks // len(chosen))
    for one in chosen:
        before = len(tally.worst), time.perf_counter()
        (check_module if options.modules else check)(one, share, options.seed, tally)
        took = time.perf_counter() - before[1]
        print(f"{one.name}: {len(tally.worst) - before[0]} reported, {took:.0f} s", flush=True)
        for line in tally.worst[before[0] : before[0] + 3]:
            print(f"  {line}", flush=True)
    table, worst, columns = tally.partners, tally.worst, Tally.COLUMNS
    total = Counter[str]()
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
