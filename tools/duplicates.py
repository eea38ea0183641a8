"""Fail where a package says too much twice: `python -m tools.duplicates fracturelib`.

Pylint finds equal runs of six lines; comments, docstrings and imports do not count.
"""

from __future__ import annotations

import subprocess
import sys

MOST = 3  # findings that are let pass
CHECK = ["--disable=all", "--enable=duplicate-code", "--min-similarity-lines=6"]
IGNORED = [f"--ignore-{kind}=yes" for kind in ("comments", "docstrings", "imports")]


def main(packages: list[str]) -> int:
    """Print what pylint found; 1 if that is more than `MOST`."""
    command = [sys.executable, "-m", "pylint", *CHECK, *IGNORED, "--score=no", *packages]
    found = subprocess.run(command, capture_output=True, text=True)
    print(found.stdout, found.stderr, sep="", end="")
    if found.returncode & 32:  # pylint's own word for wrong usage
        return 1
    count = found.stdout.count("duplicate-code")
    print(f"duplicate code: {count} findings, at most {MOST} are let pass")
    return int(count > MOST)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
