"""`answer`, `hint` and `solution`: what a reader of a notebook asks about an exercise."""

from __future__ import annotations

import html
from typing import Any

from IPython.display import Markdown, display

from fracturelib.course.exercises import find

UNFILLED = "Nothing is filled in yet: replace what is marked TODO, and run the cell again."
_ACCEPTED: dict[str, bool] = {}  # key → whether the latest answer was right


def judge(key: str, value: Any, **given: Any) -> str | None:
    """None if the answer is right; otherwise why it is wrong, in a sentence. Code that fails is a wrong answer."""
    if value is None or value is ... or (isinstance(value, tuple) and any(part is None for part in value)):
        return UNFILLED
    try:
        return find(key).judge(value, **given)
    except Exception as error:  # whatever the reader's code does, the reader gets a sentence and no traceback
        return f"it cannot be used as an answer ({type(error).__name__}: {error})"


def answer(key: str, value: Any, **given: Any) -> None:
    """Say whether an answer is right, or why it is wrong.

    Args:
        key: of the exercise, "03.1".
        value: the answer.
        given: what the judge needs besides, as the exercise's cell names it.
    """
    found = judge(key, value, **given)
    _ACCEPTED[key] = found is None
    if found is None:
        mark, words, colour = "✓", "Right.", "#009E73"
    elif found is UNFILLED:
        mark, words, colour = "○", UNFILLED, "#0072B2"
    else:
        mark, words, colour = "✗", f"Not yet: {found}", "#D55E00"
    if found is not None:
        words += f' (hint("{key}") helps, solution("{key}") shows a solution.)'
    style = f"border-left: 4px solid {colour}; padding: 4px 12px; font-size: 15px"
    page = f'<div role="status" style="{style}">{mark} {html.escape(words)}</div>'
    display({"text/html": page, "text/plain": f"{mark} {words}"}, raw=True)


def accepted(key: str) -> bool:
    """Whether the latest answer to an exercise was right; the solutions notebooks assert it."""
    return _ACCEPTED.get(key, False)


def hint(key: str) -> None:
    """Show the hint of an exercise."""
    display(Markdown(f"**Hint.** {find(key).hint}"))


def solution(key: str) -> None:
    """Show the solution of an exercise, and what it means."""
    exercise = find(key)
    display(Markdown(f"```python\n{exercise.solution}\n```\n\n{exercise.why}"))
