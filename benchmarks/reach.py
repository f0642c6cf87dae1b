"""How often each class of value, shape, layout and dtype is drawn, so that a hole is seen.

Run by hand: ``python benchmarks/reach.py [--examples N] [--seed N] [--json FILE]``. Exits 1 if a class is empty.
"""

import argparse
import json
import sys
from pathlib import Path

from diffexport.strategies import reach


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    counts = reach.count(options.examples, options.seed)
    empty = [f"{group}: {name}" for group, named in counts.items() for name, n in named.items() if not n]
    for group, named in counts.items():
        print(f"{group} (of {options.examples} examples)")
        for name, number in named.items():
            print(f"  {number:6}  {name}")
    print(f"{len(empty)} empty" + "".join(f"\n  {name}" for name in empty))
    if options.json:
        options.json.write_text(
            json.dumps({"examples": options.examples, "counts": counts, "empty": empty}, indent=1)
        )
    return 1 if empty else 0


if __name__ == "__main__":
    sys.exit(main())
