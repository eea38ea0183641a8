"""Notebook 06's panel: read radiographs one at a time, by mouse or keyboard, and then meet the model."""

from __future__ import annotations

import html
import io
import uuid
from collections.abc import Callable
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pandas as pd
from PIL import Image

from fracturelib.catalog import root_of
from fracturelib.config import CLASS_NAMES
from fracturelib.course.reader_study import SURENESS, Reading, save_reading
from fracturelib.course.widgets.common import (
    LivingPage,
    ResultArea,
    as_html,
    button,
    image_html,
    rows_of,
)
from fracturelib.course.widgets.moving import Viewer
from fracturelib.errors import FracturelibError
from fracturelib.images import read_radiograph

HEIGHT = 370  # pixels of the radiograph on the page
READING_KEYS = {
    "f": "fractured",
    "n": "not fractured",
    **{str(sure): name for sure, name in SURENESS.items()},
    "b": "back",
}
# ipywidgets has no key events. An inline handler needs no extra package: it finds the button whose class names the key,
# in its own panel, and clicks it. JupyterLab leaves keys alone below an element with the data attribute.
_PRESS = (
    "if (!event.ctrlKey && !event.metaKey && !event.altKey) {{"
    "const found = this.closest('.{panel}').querySelector('.{key}' + event.key.toLowerCase());"
    "if (found) {{ event.preventDefault(); event.stopPropagation(); found.click(); this.focus(); }} }}"
)
_DESK = "outline-offset: 3px; border: 2px solid #0072B2; border-radius: 4px; padding: 6px 10px; cursor: pointer"


def as_png(picture: np.ndarray) -> bytes:
    """A picture (H, W), uint8, as the bytes of a file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="png")
    return buffer.getvalue()


class ReadingRoom(LivingPage):
    """One radiograph at a time: call it, say how sure, next; at the end the results are shown.

    Args:
        cases: from `choose_cases`; the table knows the folder of its files.
        results: answers (as `Reading.answers`) → figures, tables and sentences, shown when all cases are read.
        folder: where "Save for the class" writes; None leaves the button out.

    Attributes:
        reading: the `Reading`, with the answers so far.
        number: names the file of this reading; drawn at random, since a class's folder holds no names.
        knows: marks a second reading; it ticks itself where somebody goes on after the results were shown.
    """

    def __init__(
        self, cases: pd.DataFrame, results: Callable[[pd.DataFrame], list], *, folder: str | Path | None = None
    ) -> None:
        self.cases, self.results, self.folder = cases, results, folder
        self.reading, self.number = Reading(cases), uuid.uuid4().hex
        self.picture, self.status, self.outcome = Viewer(height=HEIGHT), ResultArea(), ResultArea()
        self.buttons = {key: button(f"{name} ({key.upper()})", self._action(key)) for key, name in READING_KEYS.items()}
        for key, made in self.buttons.items():
            made.add_class(_key_class(key))
        self.save_button = button("Save for the class", self.save, tip="Numbers only: no name of a person or of a file")
        self.again_button = button("Read again from the start", self.restart)
        self.knows = widgets.Checkbox(
            description="I have read these cases before", indent=False, layout=widgets.Layout(width="auto")
        )
        super().__init__(
            [
                widgets.HTML(_desk()),
                self.status,
                self.picture,
                rows_of(self.buttons.values()),
                rows_of([self.again_button] if folder is None else [self.save_button, self.knows, self.again_button]),
                self.outcome,
            ],
            title="The reading room",
        )
        self._refresh()

    def still(self) -> str:
        """The first case; there is nobody who could read it."""
        words = as_html(f"{self.title}: case 1 of {len(self.cases)}. Run the notebook to read them.")
        return words + image_html(self.picture.picture, "image/png", self.picture.words)

    def press(self, key: str) -> None:
        """What a key or its button does: F and N call, 1 to 3 say how sure and go on, B goes back."""
        if key == "b":
            self._after_results()
            self.reading.back()
        elif key in "fn":
            self.reading.call(int(key == "f"))
            self._say()
            return
        elif not self.reading.rate(int(key)):
            self._say("First say whether it is fractured: F or N.")
            return
        self._refresh()

    def restart(self) -> None:
        """Forget all answers and begin with the first case; a saved reading keeps its file."""
        self._after_results()
        self.reading = Reading(self.cases)
        self._refresh()

    def save(self) -> None:
        """Write the answers to the class's folder; a second press replaces the first file."""
        assert self.folder is not None, "there is no such button without a folder"
        try:
            file = save_reading(self.folder, self.reading.answers(), reading=self.number, again=self.knows.value)
        except FracturelibError as error:
            self._say(str(error))
            return
        self._say(f"Saved as {file.name}{', marked as a second reading' if self.knows.value else ''}.")

    def _after_results(self) -> None:
        """Whoever goes on with all cases read has seen the truth: what follows is another reading, and a second one."""
        if self.reading.finished:
            self.knows.value, self.number = True, uuid.uuid4().hex

    def _action(self, key: str) -> Callable[[], None]:
        return lambda: self.press(key)

    def _refresh(self) -> None:
        """Show the present case, or the results when there is none left."""
        self.outcome.show()
        self._show_picture()
        self._say()
        if self.reading.finished:
            self._say("Your results are on their way …")
            try:
                found = self.results(self.reading.answers())
            except FracturelibError as error:
                found = [str(error)]
            self.outcome.show(*found, alt="Your reading beside the model's")
            self._say()

    def _show_picture(self) -> None:
        """The present case; when all are read there is nothing left to look at."""
        if self.reading.finished:
            self.picture.picture = b""
            return
        row = self.cases.iloc[self.reading.position]
        try:
            picture = read_radiograph(root_of(self.cases) / row["path"])
        except FracturelibError as error:
            self.picture.picture = b""
            self.outcome.show(str(error))
            return
        self.picture.words = f"Radiograph {self.reading.position + 1} of {len(self.cases)}, to be read"
        self.picture.picture = as_png(picture)

    def _say(self, note: str = "") -> None:
        """Where the reader is, and what is expected now; buttons without a meaning now cannot be pressed."""
        reading = self.reading
        if reading.finished:
            where = f"All {len(self.cases)} cases are read."
        else:
            where = f"Case {reading.position + 1} of {len(self.cases)}."
            if reading.called is None:
                where += " Is there a fracture?"
            else:
                where += f" You say: {CLASS_NAMES[reading.called]}. How sure are you?"
        self.status.show(*([where, note] if note else [where]))
        for key, made in self.buttons.items():
            made.button_style = "primary" if reading.called == {"f": 1, "n": 0}.get(key, -1) else ""
            made.disabled = reading.finished and key != "b"
        self.save_button.disabled = not reading.finished


def _key_class(key: str) -> str:
    return f"fracturelib-key-{key}"


def _desk() -> str:
    """The element that gets the keys while it has the focus."""
    press = _PRESS.format(panel="fracturelib-panel", key="fracturelib-key-")
    words = ", ".join(f"<b>{key.upper()}</b> {name}" for key, name in READING_KEYS.items())
    return (
        f'<div class="fracturelib-desk" tabindex="0" role="group" aria-label="Keyboard" style="{_DESK}" '
        f'data-lm-suppress-shortcuts="true" onkeydown="{html.escape(press)}">'
        f"To read with the keyboard, click here or on the picture first: {words}</div>"
    )
