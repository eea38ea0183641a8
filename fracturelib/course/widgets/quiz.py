"""The closing questions of a notebook: a figure, a choice, and what is to be said about it."""

from __future__ import annotations

import html
from functools import partial

import ipywidgets as widgets

from fracturelib.course.quiz_questions import QuizQuestion, questions_of
from fracturelib.course.widgets.common import ASKS, LivingPage, ResultArea, as_html, button

MARKS = ("✗ No.", "✓ Right.")


def quiz(notebook: str) -> Quiz:
    """The two closing questions of a notebook, by its number ("03")."""
    return Quiz(questions_of(notebook))


class Quiz(LivingPage):
    """The questions one below the other; each says why the chosen answer is right or wrong."""

    def __init__(self, questions: tuple[QuizQuestion, ...]) -> None:
        self.questions = questions
        self.pictures = [as_html(question.figure(), alt=question.alt) for question in questions]
        wide = widgets.Layout(width="max-content", max_width="100%")
        self.choices = [widgets.RadioButtons(options=list(q.options), index=None, layout=wide) for q in questions]
        self.replies = [ResultArea() for _ in questions]
        children = []
        for place, question in enumerate(questions):
            text = as_html(f"{place + 1}. {question.text}")
            check = button("Check", partial(self.check, place), tip="Is it right, and why?")
            children += [widgets.HTML(text + self.pictures[place]), self.choices[place], check, self.replies[place]]
        super().__init__(children, title="Two questions")
        self.add_class(ASKS)

    def __repr__(self) -> str:
        return "Two questions, each with a figure: run the notebook to answer them."

    def check(self, place: int) -> None:
        """Say whether the chosen answer of a question is right, and why."""
        question, chosen = self.questions[place], self.choices[place].value
        if chosen is None:
            self.replies[place].show("Choose an answer first.")
            return
        self.replies[place].show(f"{MARKS[chosen == question.right]} {question.options[chosen]}")

    def still(self) -> str:
        """Figures and answers; the right one is folded away."""
        parts = []
        for place, (question, picture) in enumerate(zip(self.questions, self.pictures, strict=True), 1):
            options = "".join(as_html(f"○ {option}") for option in question.options)
            reply = html.escape(f"{question.right}. {question.options[question.right]}")
            folded = f"<details><summary>Answer</summary>{reply}</details>"
            parts.append(as_html(f"{place}. {question.text}") + picture + options + folded)
        return "".join(parts)
