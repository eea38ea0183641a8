"""Two closing questions for each notebook: a figure, answers to choose from, and what to say to each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from fracturelib.course.figures import quiz as figures
from fracturelib.errors import EvaluationError


@dataclass(frozen=True)
class QuizQuestion:
    """One question; `options` maps each answer to what is said to it, and `right` is the answer that is right."""

    text: str
    figure: Callable[[], Figure]
    alt: str
    options: dict[str, str]
    right: str


def questions_of(notebook: str) -> tuple[QuizQuestion, ...]:
    """The two questions of a notebook, by its number.

    Raises:
        EvaluationError: there are none.
    """
    if notebook not in QUESTIONS:
        raise EvaluationError(f"there is no quiz for notebook '{notebook}'", cure=f"take one of {', '.join(QUESTIONS)}")
    return QUESTIONS[notebook]


QUESTIONS = {
    "00": (
        QuizQuestion(
            "A reader got 4 of 5 right, the model 3 of 5. The lines are 95 % intervals. Who is better?",
            lambda: figures.intervals({"reader": (0.8, 0.38, 0.96), "model": (0.6, 0.23, 0.88)}, label="right"),
            "Two shares with intervals that overlap almost wholly: 0.8 from 0.38 to 0.96, and 0.6 from 0.23 to 0.88",
            {
                "The reader": "Four is more than three, and a coin gets four or five right in one try of five.",
                "The model": "It got fewer right here.",
                "Nobody can say": "The intervals overlap almost wholly: five pictures tell next to nothing.",
            },
            "Nobody can say",
        ),
        QuizQuestion(
            "One of these three has never seen a bone and always says “not fractured”. What do its 60 % tell you?",
            lambda: figures.bars({"model A": 72, "always “not”": 60, "a coin": 50}, label="right (%)"),
            "Bars: model A 72 % right, always saying not fractured 60 %, a coin 50 %",
            {
                "It has learnt a little": "It looks at nothing, so it has learnt nothing.",
                "60 % are not fractured": "Its score is the share of the larger class. Every model must be held against it.",
                "It beats a coin, so it is useful": "It finds no fracture at all.",
            },
            "60 % are not fractured",
        ),
    ),
    "01": (
        QuizQuestion(
            "The same program, judged on two splits of one set. Which bar says how it does on new patients?",
            lambda: figures.bars({"random split by file": 0.9, "split by patient": 0.6}, label="right"),
            "Bars: 0.90 on a random split by file, 0.60 on a split by patient",
            {
                "The left one": "There, copies of the test pictures were in training: it measures memory.",
                "The right one": "Only there does the test show patients that the program has never seen.",
                "The mean of both": "A measurement of memory does not become true by averaging.",
            },
            "The right one",
        ),
        QuizQuestion(
            "A network and a program that sees only size and brightness. What has the network learnt about bones?",
            lambda: figures.intervals(
                {"network": (0.78, 0.72, 0.83), "size and brightness": (0.75, 0.69, 0.81)}, label="AUC"
            ),
            "Two AUCs with intervals that overlap: network 0.78, size and brightness alone 0.75",
            {
                "A lot: 0.78 is far above 0.5": "So is 0.75, and that program has seen no bone.",
                "Perhaps nothing": "Most of the score can be had without a bone. Find the shortcut first.",
                "Exactly 0.03": "A difference needs an interval; this one includes zero.",
            },
            "Perhaps nothing",
        ),
    ),
    "02": (
        QuizQuestion(
            "Two random crops of a picture with the label “fractured”. What do they do to the label?",
            lambda: figures.crops((0.3, 0.5)),
            "A picture with a small fracture box at the upper left, and two dashed crops that do not contain it",
            {
                "Nothing: the label belongs to the picture": "What the network sees is the crop, and it shows a whole bone.",
                "They make it false": "Neither crop holds the fracture, and both still say “fractured”.",
                "Only the smaller one makes it false": "Look at the larger one: the box is not in it, either.",
            },
            "They make it false",
        ),
        QuizQuestion(
            "Somebody augments the validation pictures, too. One model, never changed, is measured five times:",
            lambda: figures.curves(
                {"validation score": ([1, 2, 3, 4, 5], [0.71, 0.78, 0.69, 0.8, 0.73])}, labels=("measurement", "score")
            ),
            "The score of a model that does not change jumps between 0.69 and 0.80",
            {
                "Measurement 4 shows what it can do": "The highest of five is the luckiest.",
                "The ruler stretches": "The pictures change at each measurement, so good and bad epochs look alike.",
                "The model is unstable": "It was not changed; what it was measured on was.",
            },
            "The ruler stretches",
        ),
    ),
    "03": (
        QuizQuestion(
            "Which epoch's weights do you keep?",
            lambda: figures.losses([0.69, 0.5, 0.35, 0.2, 0.1, 0.05], [0.69, 0.55, 0.5, 0.58, 0.75, 0.95]),
            "The training loss falls to 0.05; the validation loss is lowest at epoch 2 and rises to 0.95",
            {
                "Epoch 5, the training loss is lowest": "There it has learnt the training images by heart.",
                "Epoch 2": "There the validation loss is lowest; after it the head learns by heart.",
                "Epoch 0": "An untrained head knows nothing: ln 2 ≈ 0.69.",
            },
            "Epoch 2",
        ),
        QuizQuestion(
            "Validation loss 0.95 at the end, and the AUC has hardly moved. What is the harm?",
            lambda: figures.reliability([0.02, 0.1, 0.5, 0.9, 0.98], [0.25, 0.3, 0.5, 0.68, 0.75]),
            "What the model says against what is true: where it says 0.98, three quarters are fractured",
            {
                "None: the ranking is as good": "The ranking is. But people read the number 0.98, and it is wrong.",
                "It is sure, and often wrong": "Where it says 98 %, 75 % are fractured. Notebook 04 has a cure for that.",
                "It finds fewer fractures": "With a fitting threshold it finds as many, since the ranking stays.",
            },
            "It is sure, and often wrong",
        ),
    ),
    "04": (
        QuizQuestion(
            "A model scores 0.83 on validation and 0.72 on the test. Its test AUC by region. What do you do first?",
            lambda: figures.bars(
                {"forearm": 0.86, "leg": 0.87, "thigh": 0.84, "hand": 0.52}, label="test AUC", line=0.5,
                line_name="guessing",
            ),
            "Test AUC by region: forearm 0.86, leg 0.87, thigh 0.84, hand 0.52",
            {
                "Tune the threshold on the test images": "The AUC needs no threshold, and the test set must not choose.",
                "Count the hands in training": "One group fails. If it was hardly seen in training, that is the reason.",
                "Leave the hands out of the report": "The patients with broken hands are not left out, either.",
            },
            "Count the hands in training",
        ),
        QuizQuestion(
            "This model is put to work on patients, as it is. How does a patient meet its fault?",
            lambda: figures.reliability([0.05, 0.3, 0.5, 0.7, 0.95], [0.2, 0.4, 0.5, 0.6, 0.8]),
            "Where the model says 0.95, 80 % are fractured; where it says 0.05, 20 % are",
            {
                "It is too sure": "“5 %” means one in five. A temperature above 1 can mend that.",
                "It is not sure enough": "The points would lie the other way round: above the diagonal on the right.",
                "It ranks badly": "A reliability diagram says nothing about the ranking.",
            },
            "It is too sure",
        ),
    ),
    "05": (
        QuizQuestion(
            "Fine-tuned minus frozen, on fresh test images. What do you report?",
            lambda: figures.intervals(
                {"fine-tuned": (0.83, 0.77, 0.88), "frozen": (0.8, 0.74, 0.86)}, label="test AUC"
            ),
            "Two AUCs with intervals that overlap: 0.83 and 0.80",
            {
                "Fine-tuning helps: 0.83 is more than 0.80": "Chance alone moves an AUC that far here.",
                "Fine-tuning does not help": "That is not shown, either.",
                "The paired difference with its interval": "It says what these images can tell, and it may include zero.",
            },
            "The paired difference with its interval",
        ),
        QuizQuestion(
            "Forty images, everything unfrozen. What will a second hospital find?",
            lambda: figures.losses([0.69, 0.3, 0.08, 0.02, 0.01], [0.69, 0.66, 0.8, 0.95, 1.05]),
            "The training loss falls to 0.01 in four epochs while the validation loss rises to 1.05",
            {
                "A model that is hardly ever wrong": "It is hardly ever wrong on forty images that it knows by heart.",
                "A model that is sure and often wrong": "The gap between the lines is what it remembers and has not learnt.",
                "Nothing can be said": "The validation loss says it: above ln 2 it is worse than knowing nothing.",
            },
            "A model that is sure and often wrong",
        ),
    ),
    "06": (
        QuizQuestion(
            "A reader after twenty cases, and a model. What may you say?",
            lambda: figures.point_and_curve((0.3, 0.75), 0.24),
            "A ROC curve and a reader's point above it; the cross around the point reaches over the curve",
            {
                "The reader is better: the point lies above": "The cross touches the curve, so twenty cases leave it open.",
                "Who is better is still open": "The cross of the interval touches the curve.",
                "The model is better: it has a curve": "A curve only means that it can be more or less careful.",
            },
            "Who is better is still open",
        ),
        QuizQuestion(
            "Two readers agree in 90 % of the films of a screening. How good are they?",
            lambda: figures.bars(
                {"agreement": 0.9, "by chance alone": 0.9}, label="share of films", line=0.9, line_name="what chance gives"
            ),
            "Two bars of the same height: agreement 0.90, agreement by chance 0.90",
            {
                "Very good": "Chance gives as much: both may have called nearly everything “not fractured”.",
                "Kappa is 0: nothing is shown": "Agreement beyond chance is what counts, and there is none.",
                "One of them is good": "Agreement says nothing about who is right.",
            },
            "Kappa is 0: nothing is shown",
        ),
    ),
    "07": (
        QuizQuestion(
            "The two lines turn stored values into greys. Which file says MONOCHROME1?",
            lambda: figures.curves(
                {"file A": ((0, 1000, 3000, 4095), (0, 0, 255, 255)), "file B": ((0, 1000, 3000, 4095), (255, 255, 0, 0))},
                labels=("stored value", "grey on the screen"),
            ),
            "Two lines of grey over stored value: file A rises from 0 to 255, file B falls from 255 to 0",
            {
                "File A": "Its large values are bright: that is MONOCHROME2.",
                "File B": "Its small values are bright, its large ones dark.",
                "Neither can be told": "The direction of the line is all that the tag says.",
            },
            "File B",
        ),
        QuizQuestion(
            "By file and by patient, with the interval of the difference. What may you say?",
            lambda: figures.intervals(
                {"by file": (0.78, 0.70, 0.85), "by patient": (0.75, 0.67, 0.82)}, label="AUC"
            ),
            "AUC 0.78 from 0.70 to 0.85 by file, and 0.75 from 0.67 to 0.82 by patient: the intervals overlap widely",
            {
                "No difference is shown, and the split is still made by patient": "The score is to speak of people that "
                "the model never met, whatever this set can show.",
                "There is no leak": "Patients on both sides are a leak, whether the score shows it or not.",
                "By file is fine, since it is higher": "It is higher with people who are known: no new patient is known.",
            },
            "No difference is shown, and the split is still made by patient",
        ),
    ),
}  # fmt: skip
