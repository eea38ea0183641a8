"""Guess boxes: a number, a choice or a sketched curve, taken before the cell below computes the result."""

from __future__ import annotations

import html
import uuid
from collections.abc import Sequence
from pathlib import Path

import ipywidgets as widgets
import numpy as np
from IPython.display import display

from fracturelib.course.figures.guesses import class_figure, curve_figure
from fracturelib.course.guess import Kind, Nearness, Question, compare_guess, parse_number, pool_guesses, save_guess
from fracturelib.course.notebook import class_folder, show
from fracturelib.course.widgets.common import ASKS, LivingPage, ResultArea, as_html, button, rows_of
from fracturelib.errors import EvaluationError, FracturelibError

_ALONE = "(No guess was made.)"
_CELL = "padding: 2px 24px 2px 0; text-align: left; font-size: 16px"


def guess_number(
    key: str, text: str, *, low: float = 0, high: float = 100, unit: str = "", digits: int = 0
) -> GuessBox:
    """A box for a number; call its `reveal(number)` in the cell that computes it."""
    return GuessBox(Question(key, text, Kind.NUMBER, low=low, high=high, unit=unit, digits=digits))


def guess_choice(key: str, text: str, options: Sequence[str]) -> GuessBox:
    """A box for one of several answers; call its `reveal(option)`."""
    return GuessBox(Question(key, text, Kind.CHOICE, options=tuple(options)))


def guess_curve(
    key: str, text: str, *, places: Sequence[float], low: float, high: float, labels: tuple[str, str]
) -> GuessBox:
    """A box to sketch a curve with one handle at each place; call its `reveal(x, y)`."""
    return GuessBox(Question(key, text, Kind.CURVE, low=low, high=high, places=tuple(places), labels=labels))


class GuessBox(LivingPage):
    """The question, a control, and buttons: take the guess, save it for the class, show the class's guesses.

    Args:
        question: what is asked.
        folder: where the class's guesses lie; None is `class_folder()`.

    Attributes:
        guess: the numbers that were taken, or None.
        found: the numbers that `reveal` was given, or None.
    """

    def __init__(self, question: Question, *, folder: str | Path | None = None) -> None:
        self.question = question
        self.folder = class_folder() if folder is None else Path(folder)
        self.guess: np.ndarray | None = None
        self.found: np.ndarray | None = None
        self.number = uuid.uuid4().hex  # names this guess's file
        self.inputs = _inputs(question)
        self.take_button = button("That is my guess", self.take, primary=True)
        self.save_button = button("Save for the class", self.save, tip="Numbers only: no name of a person")
        self.class_button = button("Show the class", self.show_class, tip="Reads the class's folder anew")
        self.said, self.class_area = ResultArea(), ResultArea()
        inputs = rows_of(self.inputs)
        super().__init__(
            [inputs, rows_of([self.take_button, self.save_button, self.class_button]), self.said, self.class_area],
            title=f"Your guess first: {question.text}",
        )
        self.add_class(ASKS)
        self._set_buttons()

    def __repr__(self) -> str:
        return f"{self.title} (Run the notebook to write down your guess.)"

    def still(self) -> str:
        """The question and what may be answered."""
        options = "".join(as_html(f"○ {option}") for option in self.question.options)
        return as_html(repr(self)) + options

    def take(self) -> None:
        """Keep what the controls say; a later call replaces it, until the result is shown."""
        if self.found is not None:
            return
        try:
            self.guess = self._read()
        except FracturelibError as error:
            self.said.show(str(error))
            return
        words = "" if self.question.kind is Kind.CURVE else f": {self.question.told(self.guess)}"
        self.said.show(f"Taken{words}. Now run the next cell.")
        self._set_buttons()

    def save(self) -> None:
        """Write the guess to the class's folder; a second press replaces the first file."""
        assert self.guess is not None, "the button cannot be pressed before there is a guess"
        try:
            file = save_guess(self.folder, self.question, self.guess, number=self.number)
        except FracturelibError as error:
            self.said.show(str(error))
            return
        self.said.show(f"Saved as {file.name}.")

    def show_class(self) -> None:
        """The class's guesses as they are now; what was found is marked once it has been shown."""
        guesses = pool_guesses(self.folder, self.question)
        if not len(guesses):
            self.class_area.show("Nobody has saved a guess yet.")
            return
        alt = f"{len(guesses)} guesses of the class: {self.question.text}"
        self.class_area.show(class_figure(self.question, guesses, self.found), alt=alt)

    def reveal(self, *found: float | str | Sequence[float]) -> None:
        """Show guess and finding side by side, in the cell that computes it; the box takes no guess any more.

        Args:
            found: a number; or one of the options; or x and y of a curve.
        """
        if self.question.kind is Kind.CURVE:
            x, y = (np.asarray(values, float) for values in found)
            self.found = np.interp(self.question.places, x, y)
            gap = "" if self.guess is None else f" {self._sentence()}"
            alt = f"{self.question.text} What was found, from {y[0]:.2f} to {y[-1]:.2f}.{gap}"
            if self.guess is not None:  # otherwise the cell's own figure shows the curve
                show(curve_figure(self.question, self.guess, (x, y)), alt)
        elif self.question.kind is Kind.CHOICE:
            if found[0] not in self.question.options:
                raise EvaluationError(f"'{found[0]}' is none of the options", cure=", ".join(self.question.options))
            self.found = np.array([self.question.options.index(str(found[0]))], float)
        else:
            self.found = np.array([float(found[0])])  # type: ignore[arg-type]
        self._show_both()
        self._set_buttons()
        self.said.show("The result is shown below. Run this cell again to guess anew.")

    def _show_both(self) -> None:
        sentence = _ALONE if self.guess is None else self._sentence()
        if self.question.kind is Kind.CURVE:
            print(sentence)
            return
        assert self.found is not None
        rows = {} if self.guess is None else {"your guess": self.question.told(self.guess)}
        rows["found"] = self.question.told(self.found)
        heads = "".join(f'<th scope="col" style="{_CELL}">{name}</th>' for name in rows)
        cells = "".join(f'<td style="{_CELL}"><b>{html.escape(value)}</b></td>' for value in rows.values())
        table = f'<table style="margin-left: 0"><tr>{heads}</tr><tr>{cells}</tr></table>'
        text = "; ".join(f"{name}: {value}" for name, value in rows.items())
        display({"text/html": table + as_html(sentence), "text/plain": f"{text}. {sentence}"}, raw=True)

    def _sentence(self) -> str:
        assert self.guess is not None and self.found is not None
        nearness, gap = compare_guess(self.question, self.guess, self.found)
        if self.question.kind is Kind.CURVE:
            close = "Close" if nearness is Nearness.CLOSE else "Look where they part"
            return f"{close}: the sketch lies {gap:.2f} from the curve, on average."
        away = self.question.told([abs(gap)]) if self.question.kind is Kind.NUMBER else ""
        return {
            Nearness.MATCH: "You guessed it.",
            Nearness.CLOSE: f"Close: {away} away.",
            Nearness.HIGH: f"Your guess was too high, by {away}. What did you expect, and why?",
            Nearness.LOW: f"Your guess was too low, by {away}. What did you expect, and why?",
            Nearness.OTHER: "Not what you expected. Say to your neighbour why you thought so, then read on.",
        }[nearness]

    def _read(self) -> np.ndarray:
        if self.question.kind is Kind.CURVE:
            return np.array([handle.value for handle in self.inputs])
        (control,) = self.inputs
        if self.question.kind is Kind.NUMBER:
            return np.array([parse_number(control.value, self.question)])
        if control.index is None:
            raise EvaluationError("nothing is chosen yet", cure="choose one of the answers")
        return np.array([float(control.index)])

    def _set_buttons(self) -> None:
        shown = self.found is not None
        for control in [*self.inputs, self.take_button]:
            control.disabled = shown
        self.save_button.disabled = self.guess is None


def _inputs(question: Question) -> list[widgets.Widget]:
    """The controls of a question: a field, a list of options, or one handle for each place of a curve."""
    if question.kind is Kind.NUMBER:
        unit = f" ({question.unit})" if question.unit else ""
        hint = f"a number from {question.low:g} to {question.high:g}"
        look = {"style": {"description_width": "initial"}, "layout": widgets.Layout(width="340px")}
        return [widgets.Text(placeholder=hint, description=f"Your guess{unit}:", **look)]
    if question.kind is Kind.CHOICE:
        wide = widgets.Layout(width="max-content", max_width="100%")
        return [widgets.RadioButtons(options=list(question.options), index=None, layout=wide)]
    middle, step = (question.low + question.high) / 2, (question.high - question.low) / 50
    tall = widgets.Layout(height="150px", width="64px")
    return [
        widgets.FloatSlider(
            middle, min=question.low, max=question.high, step=step, orientation="vertical", description=f"{place:g}",
            readout_format=".2f", layout=tall, tooltip=f"{question.labels[1]} at {question.labels[0]} {place:g}",
        )
        for place in question.places
    ]  # fmt: skip
