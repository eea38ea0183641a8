"""How many lines of pure code a package has: `python -m tools.code_lines fracturelib`.

Counted are the lines that hold a token of code. Blank lines, comments and docstrings are not.
"""

from __future__ import annotations

import ast
import sys
import tokenize
from pathlib import Path

NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_lines(file: Path) -> int:
    """The number of lines of one Python file that hold code."""
    with tokenize.open(file) as stream:
        tokens = tokenize.generate_tokens(stream.readline)
        lines = {
            line for token in tokens if token.type not in NO_CODE for line in range(token.start[0], token.end[0] + 1)
        }
    return len(lines - _docstring_lines(file))


def _docstring_lines(file: Path) -> set[int]:
    """The numbers of the lines that docstrings take."""
    nodes = [node for node in ast.walk(ast.parse(file.read_bytes())) if isinstance(node, DOCUMENTED)]
    first = [node.body[0] for node in nodes if node.body and ast.get_docstring(node, clean=False) is not None]
    return {line for node in first for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}


def main(arguments: list[str]) -> int:
    """Print one line for each package that is named."""
    for package in arguments:
        counts = [code_lines(file) for file in sorted(Path(package).rglob("*.py"))]
        print(f"{package}: {sum(counts):,} lines of code in {len(counts)} modules")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
