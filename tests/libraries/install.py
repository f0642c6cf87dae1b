"""Install the packages of the extra ``libraries`` and nothing that they ask for besides.

Some of them name torchvision or torchaudio, which have no build for the CPU on some indexes and are not needed for
the Functions that are tested: whoever imports them gets a stand-in, as in a scan.
"""

import subprocess
import sys
import tomllib
from pathlib import Path


def main() -> None:
    project = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text(encoding="utf-8"))
    packages = project["project"]["optional-dependencies"]["libraries"]
    subprocess.run([sys.executable, "-m", "pip", "install", "--no-deps", *packages], check=True)


if __name__ == "__main__":
    main()
