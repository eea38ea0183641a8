"""The visual language of all panels: labelled controls, a picture that replaces itself, a reset button, progress.

A panel is made of a plain function, which takes the controls' values by name and returns a figure, a table, a
sentence or a list of these, and of one control for each argument. The function is tested; the panel only calls it.

A panel lives as long as its kernel. Above it the notebook keeps a *still*: what the panel showed at first, as plain
HTML. Where the panel is alive the still is hidden; where it cannot be (no kernel, a page on the web) the still is read.
"""

from __future__ import annotations

import html
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import ipywidgets as widgets
import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure

from fracturelib.course.figures.opening import grey_axes
from fracturelib.course.notebook import encode
from fracturelib.course.widgets.live import Cancelled, LatestJob, Report
from fracturelib.course.widgets.manners import Manners
from fracturelib.errors import FracturelibError
from fracturelib.writing.template import data_uri

LABEL_WIDTH = "140px"
CONTROL_WIDTH = "390px"
STILL, ALIVE = "fracturelib-still", "fracturelib-panel"  # classes in the page; the browser tests look for them too
ASKS = "fracturelib-asks"  # of what waits for an answer, and shows nothing new when a control is moved
_NOTE = "font-size: 14px; line-height: 1.4; color: var(--jp-ui-font-color1, #222222); margin: 4px 0"
# The still comes first and the panel right after it. Of the two, the page shows the panel if it is alive; otherwise
# the still, and not the message that a dead panel leaves.
_OUTPUT = ".jp-OutputArea-child"
_ONE_OF_TWO = (
    f"<style>{_OUTPUT}:has(.{STILL}):has(+ {_OUTPUT} .{ALIVE}) {{ display: none }} "
    f"{_OUTPUT}:has(.{STILL}) + {_OUTPUT}:not(:has(.{ALIVE})) {{ display: none }} "
    # After a restart of the kernel JupyterLab marks every control with a broken chain: one sentence says more.
    f".{ALIVE} .jupyter-widgets-disconnected::before {{ content: none }} "
    f".{ALIVE}.jupyter-widgets-disconnected::before {{ content: 'The kernel was restarted: run this cell again.'; "
    "font: bold 15px sans-serif; color: var(--jp-ui-font-color1, #222222); padding: 6px 0 }</style>"
)


def _look(width: str = CONTROL_WIDTH) -> dict[str, Any]:
    return {"style": {"description_width": LABEL_WIDTH}, "layout": widgets.Layout(width=width)}


def slider(
    label: str, value: float, low: float, high: float, step: float, *, form: str = ".2f", tip: str = ""
) -> widgets.FloatSlider:
    """A number on a scale; `form` is the format of the readout. It reports when the handle is let go."""
    return widgets.FloatSlider(
        value, min=low, max=high, step=step, description=label, readout_format=form, tooltip=tip,
        continuous_update=False, **_look(),
    )  # fmt: skip


def whole_number(label: str, value: int, low: int, high: int, *, step: int = 1, tip: str = "") -> widgets.IntSlider:
    """A whole number on a scale."""
    return widgets.IntSlider(
        value, min=low, max=high, step=step, description=label, tooltip=tip, continuous_update=False, **_look()
    )


def choice(label: str, options: Sequence[Any] | Mapping[str, Any], value: Any, *, tip: str = "") -> widgets.Dropdown:
    """One of a list; a mapping shows its keys and gives its values."""
    pairs = list(options.items()) if isinstance(options, Mapping) else list(options)
    return widgets.Dropdown(options=pairs, value=value, description=label, tooltip=tip, **_look())


def steps(
    label: str, options: Sequence[Any] | Mapping[str, Any], value: Any, *, tip: str = ""
) -> widgets.SelectionSlider:
    """A slider over a list of values that are not evenly spaced, for example learning rates."""
    pairs = list(options.items()) if isinstance(options, Mapping) else list(options)
    return widgets.SelectionSlider(
        options=pairs, value=value, description=label, tooltip=tip, continuous_update=False, **_look()
    )


def button(label: str, on_click: Callable[[], None], *, tip: str = "", primary: bool = False) -> widgets.Button:
    """A button that calls `on_click()` without arguments."""
    made = widgets.Button(
        description=label, tooltip=tip, button_style="primary" if primary else "", layout=widgets.Layout(width="auto")
    )
    made.on_click(lambda _: on_click())
    return made


def rows_of(controls: Iterable[widgets.Widget]) -> widgets.Box:
    """Controls side by side, in as many rows as the page's width asks for."""
    return widgets.Box(list(controls), layout=widgets.Layout(display="flex", flex_flow="row wrap"))


class ResultArea(widgets.HTML):
    """Shows figures, tables and sentences; what was there before is replaced, never added to.

    Attributes:
        figures: what is shown, for whoever clicks on a radiograph in it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.add_class("fracturelib-result")
        self.add_class("jp-RenderedHTMLCommon")  # JupyterLab's tables: the same as in the still, and as below any cell
        self.figures: list[Figure] = []

    def show(self, *contents: Any, alt: str = "") -> None:
        """Replace the contents; figures are closed, so that the notebook does not show them a second time.

        A figure's label (`Figure.set_label`) says what is to be seen in it, and goes into its alternative text.
        """
        self.figures = [content for content in contents if isinstance(content, Figure)]
        self.value = "".join(_opening(content, as_html(content, alt=_alt(content, alt))) for content in contents)


def _alt(content: Any, alt: str) -> str:
    """The alternative text of a figure: the panel's own, and what the figure's label says of its content."""
    said = str(content.get_label()) if isinstance(content, Figure) else ""
    return ". ".join(part for part in (alt, said) if part)


def _opening(content: Any, text: str) -> str:
    """The HTML of a content; a figure with radiographs is marked, so that the page offers to open them."""
    opens = isinstance(content, Figure) and bool(grey_axes(content))
    return text.replace("<img ", "<img data-radiographs ", 1) if opens else text


def as_html(content: Figure | pd.DataFrame | str, *, alt: str = "") -> str:
    """One figure, table or sentence as HTML."""
    if isinstance(content, Figure):
        data, kind = encode(content)
        return image_html(data, kind, alt)
    if isinstance(content, pd.DataFrame):
        rows = content.to_html(index=False, border=0).replace("<table", '<table style="margin-left: 0"', 1)
        frame = 'class="fracturelib-table" role="group" aria-label="table" tabindex="0"'  # it scrolls, by keys as well
        return f'<div {frame} style="{_NOTE}">{rows}</div>'
    return f'<div style="{_NOTE}">{html.escape(str(content))}</div>'


def image_html(data: bytes, kind: str, alt: str) -> str:
    """A picture of the media type `kind`, with alternative text, as an HTML image."""
    return f'<img src="{data_uri(data, kind)}" alt="{html.escape(alt)}" style="max-width: 100%">'


class ProgressRow(widgets.HBox):
    """What a slow action is doing, in words and as a bar, and a button that cancels it; empty while nothing is done."""

    def __init__(self) -> None:
        self.text = widgets.HTML()
        self.bar = widgets.FloatProgress(min=0, max=1, layout=widgets.Layout(width="200px"))
        self.cancel_button = button("Cancel", self._cancel, tip="Stop this and keep what was there before")
        self._on_cancel: Callable[[], None] | None = None
        super().__init__([self.text, self.bar, self.cancel_button], layout=widgets.Layout(min_height="36px"))
        self.add_class("fracturelib-progress")
        self.end()

    def begin(self, text: str, *, on_cancel: Callable[[], None] | None = None) -> None:
        """Say what has begun; with `on_cancel` there is a button that calls it."""
        self._on_cancel = on_cancel
        self.advance(0.0, text)
        _visible(self.bar, False)
        _visible(self.cancel_button, on_cancel is not None)

    def advance(self, share: float, text: str) -> None:
        """Say how far it is, 0…1."""
        self.text.value = f'<div style="{_NOTE}">{html.escape(text)}</div>'
        self.bar.value = share
        _visible(self.bar, True)

    def end(self) -> None:
        """Nothing is going on any more."""
        self._on_cancel, self.text.value = None, ""
        _visible(self.bar, False)
        _visible(self.cancel_button, False)

    def _cancel(self) -> None:
        if self._on_cancel is not None:
            self._on_cancel()


def _visible(widget: widgets.Widget, shown: bool) -> None:
    widget.layout.visibility = "visible" if shown else "hidden"  # not "display": what stands below must not jump


class LivingPage(widgets.VBox):
    """A column of widgets under a title, with a still for readers without a kernel.

    Args:
        children: the widgets.
        title: stands above them, and opens the still.
    """

    def __init__(self, children: Sequence[widgets.Widget], *, title: str) -> None:
        self.title = title
        heading = widgets.HTML(f'<div style="{_NOTE}"><b>{html.escape(title)}</b></div>')
        results = [child for child in children if isinstance(child, ResultArea)]
        super().__init__([heading, *children, Manners(results)])
        self.add_class(ALIVE)

    def __repr__(self) -> str:
        return f"Panel “{self.title}”: run the notebook to use it."  # what is shown where nothing else can be

    def still(self) -> str:
        """What stands in the page while no kernel runs, as HTML."""
        return as_html(repr(self))

    def _ipython_display_(self) -> None:
        text = f'<div class="{STILL}">{_ONE_OF_TWO}{self.still()}</div>'
        display({"text/html": text, "text/plain": repr(self)}, raw=True)
        display(self._repr_mimebundle_(), raw=True)


class Panel(LivingPage):
    """Controls above the result of `draw(**values)`; any change draws it anew.

    Args:
        draw: plain function; its arguments have the controls' names. It returns a Figure, a DataFrame, a str, or a
            list of these. A `FracturelibError` is shown as its message.
        controls: argument name → control, made by the functions of this module.
        title: stands above the panel, and opens the alternative text of its figures.
        buttons: stand beside the controls.
        jobs: for work that takes a while. `draw` then gets a `Report` before the values and calls it now and then;
            `LatestJob` keeps the page alive meanwhile, `AtOnce` waits for the end.
        doing: names the work in the progress row.

    Attributes:
        controls, values: the controls, and what they are set to now.
        result: the `ResultArea`.
        progress: the `ProgressRow`.
    """

    def __init__(
        self,
        draw: Callable[..., Any],
        controls: Mapping[str, Any],
        *,
        title: str,
        buttons: Sequence[widgets.Button] = (),
        jobs: LatestJob | None = None,
        doing: str = "Drawing",
    ) -> None:
        self.draw, self.controls, self.jobs, self.doing = draw, dict(controls), jobs, doing
        self.defaults = self.values
        self.result, self.progress = ResultArea(), ProgressRow()
        self._finished, self._held = "", False
        for control in self.controls.values():
            control.observe(self._changed, names="value")
        self.buttons = [button("Reset", self.reset, tip="Back to the first settings"), *buttons]
        row = rows_of([*self.controls.values(), *self.buttons])
        row.add_class("fracturelib-controls")
        super().__init__([row, self.progress, self.result], title=title)

    def start(self) -> Self:
        """Draw with the first settings before this returns, so that a notebook run at one go shows the same always."""
        self._work(self.values, threading.Event())
        return self

    def still(self) -> str:
        """Title and settings in words, then the result as it stands."""
        return as_html(f"{self.alternative_text()}. Run the notebook to move the controls.") + self.result.value

    @property
    def values(self) -> dict[str, Any]:
        return {name: control.value for name, control in self.controls.items()}

    def alternative_text(self) -> str:
        """The title and the settings in words, for readers who cannot see the figure."""
        settings = (f"{control.description} {_spoken(control)}" for control in self.controls.values())
        return f"{self.title}{' ' if self.title.endswith('?') else ': '}{', '.join(settings)}"

    def update(self) -> None:
        """Draw with the present settings; work that is going on is stopped."""
        values = self.values
        if self.jobs is None:
            self._work(values, threading.Event())
        else:
            self.jobs.start(lambda stop: self._work(values, stop))

    def stop(self) -> None:
        """End the work that is going on, if any; what was there before it is shown again."""
        if self.jobs is not None:
            self.jobs.stop()
        self.result.value = self._finished

    def show(self, contents: Any) -> None:
        """Show a finished result: a figure, a table, a sentence or a list of these."""
        self.result.show(*(contents if isinstance(contents, list) else [contents]), alt=self.alternative_text())
        self._finished = self.result.value

    def reset(self) -> None:
        """Back to the first settings, drawn once."""
        self._held = True
        try:
            for name, value in self.defaults.items():
                self.controls[name].value = value
        finally:
            self._held = False
        self.update()

    def _work(self, values: dict[str, Any], stop: threading.Event) -> None:
        self.progress.begin(f"{self.doing} …", on_cancel=self.stop if self.jobs else None)
        report = Report(self.progress, self.result, doing=self.doing, stop=stop, alt=self.alternative_text())
        try:
            self.show(self.draw(*([report] if self.jobs else []), **values))
        except Cancelled:
            pass
        except FracturelibError as error:
            self.show(str(error))
        finally:
            self.progress.end()

    def _changed(self, _: Any) -> None:
        if not self._held:
            self.update()


def _spoken(control: widgets.Widget) -> str:
    value = getattr(control, "label", None) or control.value  # a choice has a label beside its value
    return f"{value:g}" if isinstance(value, float) else str(value)
