"""Draw docs/oracle.svg: the values of eager under rounding noise, for a difference that is excused and one that is not.

python benchmarks/spread_plot.py [FILE]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffexport import Mode
from diffexport.oracle import Noise, RoundingCheck
from diffexport.pipeline import Pipeline
from diffexport.subjects.cases.case import make_case

WIDTH, LEFT, RIGHT, ROW = 760, 40, 720, 150
RUNS = 64


class LogLogExp(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.exp().log().log()


def panel(title: str, x: float, off: float, top: int) -> list[str]:
    """Return the marks of one panel: eager at ``x`` under noise, and what an exported model gives, ``off`` away."""
    case = make_case("log_log_exp", LogLogExp, inputs=["float32[N]"], traits=())
    inputs = (np.array([x], "float32"),)
    pipeline = Pipeline()
    eager = pipeline.eager(case, Mode("torchscript"), inputs).outputs
    rerun = pipeline.rerun(case, Mode("torchscript"), inputs)
    runs = np.array([float(rerun.noisy(Noise(n))[0][0]) for n in range(RUNS)])  # type: ignore[arg-type]
    later = np.nextafter(np.exp(inputs[0]), np.float32(9)) if off == 0 else None
    got = np.log(np.log(later)) if later is not None else eager[0] * np.float32(1 + off)
    judgement = RoundingCheck(eager, rerun).judge([got])
    one, other = float(eager[0][0]), float(got[0])
    low, high = min(runs.min(), one, other), max(runs.max(), one, other)
    low, high = low - 0.08 * (high - low), high + 0.08 * (high - low)

    def at(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (RIGHT - LEFT)

    axis = top + 95
    said = "excused" if judgement.excused else "reported"
    marks = [
        f'<text x="{LEFT}" y="{top + 18}" font-weight="bold">{title}: {said}</text>',
        f'<line x1="{LEFT}" y1="{axis}" x2="{RIGHT}" y2="{axis}" stroke="#888"/>',
        f'<text x="{LEFT}" y="{axis + 18}">{low:.9g}</text>',
        f'<text x="{RIGHT}" y="{axis + 18}" text-anchor="end">{high:.9g}</text>',
    ]
    stacked: dict[int, int] = {}
    for value in sorted(runs):
        place = round(at(value) / 4)
        stacked[place] = stacked.get(place, 0) + 1
        marks.append(f'<circle cx="{place * 4}" cy="{axis - 3 * stacked[place]}" r="1.5" fill="#4a7ab5"/>')
    for value, colour, name in ((one, "#222", "eager"), (other, "#c33", "exported")):
        place = at(value)
        anchor = "end" if place > WIDTH / 2 else "start"
        height = top + (34 if name == "eager" else 48)
        marks.append(f'<line x1="{place:.1f}" y1="{height}" x2="{place:.1f}" y2="{axis}" stroke="{colour}"/>')
        marks.append(
            f'<text x="{place + (-4 if anchor == "end" else 4):.1f}" y="{height + 8}" fill="{colour}" '
            f'text-anchor="{anchor}">{name} {value:.9g}</text>'
        )
    return marks


def main() -> None:
    parts: list[Any] = panel("log(log(exp x)) at 0.0001, an ulp of exp later", 1e-4, 0, 0)
    parts += panel("log(log(exp x)) at 2, relative error 5e-6", 2.0, 5e-6, ROW)
    text = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{2 * ROW}" '
        f'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "oracle.svg"
    file.write_text(text, encoding="utf-8")
    print(f"{file}: {RUNS} runs each")


if __name__ == "__main__":
    main()
