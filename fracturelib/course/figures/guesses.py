"""Figures of the guess boxes: a sketched curve beside the true one, and the guesses of a class."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fracturelib.course.guess import Kind, Question
from fracturelib.plots.style import STYLE
from fracturelib.writing.palette import CLASS_COLOURS, FAINT, INK

MOST_SKETCHES = 40  # more lines on each other show nothing


def curve_figure(question: Question, guess: np.ndarray, found: tuple[np.ndarray, np.ndarray]) -> Figure:
    """What was found as a line; what was guessed as a dashed line with circles at the places asked for."""
    with plt.rc_context(STYLE):
        figure = Figure(figsize=(7, 3.6))
        ax = figure.subplots()
        ax.plot(*found, color=INK, linewidth=2.5, label="found")
        ax.plot(question.places, guess, "o--", color=CLASS_COLOURS[1], label="your guess")
        ax.set(xlabel=question.labels[0], ylabel=question.labels[1])
        ax.legend()
    return figure


def class_figure(question: Question, guesses: np.ndarray, found: np.ndarray | None) -> Figure:
    """All guesses of a class, (guesses, values), as histogram, bars or sketches; what was found in vermillion."""
    with plt.rc_context(STYLE):
        figure = Figure(figsize=(7, 3.2))
        ax = figure.subplots()
        draw = {Kind.NUMBER: _numbers, Kind.CHOICE: _choices, Kind.CURVE: _curves}[question.kind]
        draw(ax, question, guesses, found)
        ax.set_title(f"{len(guesses)} guesses")
    return figure


def _numbers(ax: Axes, question: Question, guesses: np.ndarray, found: np.ndarray | None) -> None:
    ax.hist(
        guesses[:, 0], list(np.linspace(question.low, question.high, 21)), color=CLASS_COLOURS[0], edgecolor="white"
    )
    if found is not None:
        ax.axvline(found[0], color=CLASS_COLOURS[1], linewidth=3, label=f"found: {question.told(found)}")
        ax.legend()
    ax.set(xlabel=f"guess ({question.unit})" if question.unit else "guess", ylabel="how many")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))


def _choices(ax: Axes, question: Question, guesses: np.ndarray, found: np.ndarray | None) -> None:
    counts = np.bincount(guesses[:, 0].astype(int), minlength=len(question.options))
    right = None if found is None else round(found[0])
    names = [option + (" (found)" if place == right else "") for place, option in enumerate(question.options)]
    colours = [CLASS_COLOURS[int(place == right)] for place in range(len(names))]
    ax.barh(names, counts, color=colours)
    ax.invert_yaxis()
    ax.set_xlabel("how many")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _curves(ax: Axes, question: Question, guesses: np.ndarray, found: np.ndarray | None) -> None:
    for sketch in guesses[:MOST_SKETCHES]:
        ax.plot(question.places, sketch, color=FAINT, linewidth=1)
    if found is not None:
        ax.plot(question.places, found, color=CLASS_COLOURS[1], linewidth=3, label="found")
        ax.legend()
    ax.set(xlabel=question.labels[0], ylabel=question.labels[1], ylim=(question.low, question.high))
