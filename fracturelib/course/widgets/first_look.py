"""Notebook 00's sheet: a few radiographs without their answers, and one call for each."""

from __future__ import annotations

import ipywidgets as widgets
import numpy as np
import pandas as pd

from fracturelib.config import CLASS_NAMES
from fracturelib.course.figures.radiographs import gallery
from fracturelib.course.widgets.common import ASKS, LivingPage, ResultArea, as_html, button, rows_of


class CallSheet(LivingPage):
    """Numbered radiographs, a choice for each, and a button that hands the calls in.

    Args:
        cases: at most eight rows of one table, which knows the folder of its files.

    Attributes:
        calls: 0 or 1 for each case once all are called and handed in; None before.
    """

    def __init__(self, cases: pd.DataFrame) -> None:
        self.calls: np.ndarray | None = None
        alt = f"{len(cases)} radiographs with numbers, without their answers"
        self.picture = as_html(gallery(cases, blind=True, columns=len(cases)), alt=alt)
        options = [(name, label) for label, name in reversed(list(enumerate(CLASS_NAMES)))]
        self.choices = [
            widgets.Dropdown(
                options=[("choose …", None), *options],
                description=f"Number {number}",
                layout=widgets.Layout(width="240px"),
            )
            for number in range(1, len(cases) + 1)
        ]
        self.said = ResultArea()
        take = button("These are my calls", self.take, primary=True)
        children = [widgets.HTML(self.picture), rows_of(self.choices), rows_of([take]), self.said]
        super().__init__(children, title="Which of these bones are fractured?")
        self.add_class(ASKS)

    def take(self) -> None:
        """Hand the calls in; a later press replaces them."""
        calls = [choice.value for choice in self.choices]
        if None in calls:
            self.said.show(f"Number {calls.index(None) + 1} is not called yet. Not sure? Make a call all the same.")
            return
        self.calls = np.array(calls)
        self.said.show("Taken. Now run the next cells.")

    def still(self) -> str:
        """The pictures."""
        return as_html(f"{self.title} Run the notebook to call them.") + self.picture
