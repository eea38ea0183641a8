"""The packages of pyproject.toml as a requirements file: `python -m tools.bounds lowest` or `newest`.

`lowest` pins each package to the version that pyproject.toml asks for at least; `newest` takes what pip finds.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def requirements(which: str) -> list[str]:
    """One line for each package that the library and its tests need."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    packages = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    return [name.replace(">=", "==") if which == "lowest" else name for name in packages]


if __name__ == "__main__":
    if sys.argv[1:] not in (["lowest"], ["newest"]):
        sys.exit("say which: python -m tools.bounds lowest, or newest")
    print(*requirements(sys.argv[1]), sep="\n")
