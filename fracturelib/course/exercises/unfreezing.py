"""The exercises of notebook 05."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from fracturelib.config import TrainConfig
from fracturelib.course.exercises.exercise import Exercise, because, near
from fracturelib.course.studies import StepwiseRun
from fracturelib.model import build_model

FORGOTTEN = 1.0  # a validation loss above this: far worse than ln 2 ≈ 0.69, the price of knowing nothing


def _trained(value: Callable[[str], Any], *, config: TrainConfig) -> str | None:
    made = {stage: value(stage) for stage in ("head", "layer4")}
    if None in made.values():
        return "trained_parameters() returns nothing yet"
    model = build_model(config, weights="none")
    everything = sum(p.numel() for p in model.parameters())
    head = sum(p.numel() for p in model.head.parameters())
    tensors = sum(1 for _ in model.head.parameters())
    model.unfreeze("layer4")
    right = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return because(
        (near(made["head"], everything, 1e-6), "that counts all parameters; count those that are trained"),
        (made["head"] == tensors, "that is the number of tensors; p.numel() says how many numbers a tensor holds"),
        (near(made["head"], everything - head, 1e-6), "those are the frozen ones"),
        (near(made["head"], head / 1e6, 1e-3), "write the number itself, not millions"),
        (made["head"] == 0, "nothing is counted: p.requires_grad is True for what is trained"),
        (near(made["layer4"], head, 1e-6), "for layer4 the parameters of that stage are trained as well as the head's"),
        (near(made["layer4"], right - head, 1e-6), "the head is trained in every step"),
        (made["head"] != head or made["layer4"] != right, f"the head alone has {head:,} parameters"),
    )


def _forgets(value: Any, *, runs: Mapping[str, StepwiseRun]) -> str | None:
    last = {name: float(run.history["val_loss"].iloc[-1]) for name, run in runs.items()}
    forgetful = [float(name.removeprefix("rate ")) for name, loss in last.items() if not loss < FORGOTTEN]
    tried = [float(name.removeprefix("rate ")) for name in runs]
    if len(tried) < 2:
        return "try at least two rates, one of them large"
    return because(
        (not forgetful, "none of these rates is too large yet: all end below 1. Try larger ones"),
        (not any(near(value, rate) for rate in tried), "name one of the rates that you tried"),
        (
            not any(near(value, rate) for rate in forgetful),
            "at this rate the validation loss ends below 1: that is not *far* worse than knowing nothing (0.69)",
        ),
        (not near(value, min(forgetful)), f"true, and a smaller one does it, too: {min(forgetful):g}"),
    )


def _equal_time(value: Callable[[Any, Any], Any]) -> str | None:
    run, other = (SimpleNamespace(seconds=s, history=range(n)) for s, n in ((120.0, 12), (10.0, 20)))
    made = value(run, other)
    if made is None:
        return "epochs_in_equal_time() returns nothing yet"
    made = float(made)
    return because(
        (near(made, 12), "that is how often the whole training of the other fits in; count its epochs"),
        (near(made, 2) or near(made, 1.0), "that is the time the other way round: divide `run` by `other`"),
        (near(made, 144), "use the number of epochs of `other`, not of `run`"),
        (near(made, 120), "those are seconds; divide by the seconds of one epoch"),
        (near(made, 20) or near(made, 12), "that is the number of epochs that were run"),
        (near(made, 0.5) or near(made, 10), "those are seconds per epoch"),
        (near(made, 2400), "divide by the seconds of one epoch of `other`"),
        (made != round(made), "epochs are whole: round"),
        (not near(made, 240, 0.001), "120 s, and 20 epochs in 10 s: that makes 240 epochs"),
    )


EXERCISES = (
    Exercise(
        key="05.1",
        title="parameters per image",
        task="Complete `trained_parameters`. How many parameters are trained for each training image in each of the "
        "three steps?",
        frame=(
            "def trained_parameters(stage: str) -> int | None:\n"
            '    """How many parameters a step trains: the head\'s, and those of the trunk from `stage` up."""\n'
            '    fresh = build_model(config, weights="none")\n'
            '    if stage != "head":\n'
            "        fresh.unfreeze(stage)\n"
            "«here»\n\n\n"
            "counts = {stage: trained_parameters(stage) for stage in STAGES}\n"
            "filled = None not in counts.values()\n"
            'answer("05.1", trained_parameters if filled else None, config=config)\n'
            "if filled:\n"
            "    for stage, count in counts.items():\n"
            '        print(f"{stage}: {count:,} parameters, {count / IMAGES:,.0f} for each image")'
        ),
        blank="    return None  # TODO: `fresh.parameters()` goes through all of them; which ones are trained?",
        solved="    return sum(p.numel() for p in fresh.parameters() if p.requires_grad)",
        hint="A tensor of parameters has `requires_grad` (is it trained?) and `numel()` (how many numbers are in it?).",
        why="The head alone already has hundreds of parameters for each image. It does not overfit at once because "
        "dropout, early stopping and the frozen features hold it back. With layer4 there are thousands for each image.",
        judge=_trained,
        claim=(
            'assert counts["head"] < counts["layer4"] < counts["layer3"]\n'
            'assert counts["layer4"] > 50 * counts["head"], "unfreezing one stage multiplies what is trained"'
        ),
    ),
    Exercise(
        key="05.2",
        title="too large a step",
        task="Train `layer4` and up right away, without the head first, at some learning rates. At which one does the "
        "trunk forget what it knew, so that it ends **far worse than knowing nothing** (a validation loss above 1)? Name the smallest such rate.",
        frame=(
            "«here»\n\n"
            "forgetful = {\n"
            '    f"rate {rate:g}": train_in_steps(bench, config, [Step("layer4", rate, 3)], images=min(40, IMAGES)) for rate in rates\n'
            "}\n"
            'answer("05.2", forgets_at, runs=forgetful)\n'
            "if forgetful:\n"
            '    last = {name: run.history["val_loss"].iloc[-1] for name, run in forgetful.items()}\n'
            '    print("; ".join(f"{name}: validation loss {loss:.2f} at the end" for name, loss in last.items()))'
        ),
        blank="rates = []  # TODO: some rates from 0.0001 to 0.1\nforgets_at = None  # TODO: one of them",
        solved="rates = [1e-4, 1e-1]\nforgets_at = 1e-1",
        hint="What is the loss of a model that knows nothing and says 0.5 to everything? (Notebook 03, section 3.)",
        why="At the largest rate the loss leaps far above ln 2 ≈ 0.69, the price of knowing nothing. The model is now "
        "*sure and wrong*: the first step alone has moved the trunk's numbers by more than the photographs had ever "
        "adjusted them. A range test, as in notebook 03, would have warned us.",
        judge=_forgets,
        claim='assert last["rate 0.1"] > last["rate 0.0001"], "a large step wipes out what the trunk knew"',
        further=(
            "figure, ax = plt.subplots(figsize=(7.5, 4.4))\n"
            "overlaid_runs({name: run.history for name, run in forgetful.items()}, ax=ax)\n"
            'ax.set_yscale("log")\n'
            'words = ", ".join(f"{name}: {loss:.2f}" for name, loss in last.items())\n'
            'show(figure, f"Validation loss at two learning rates, logarithmic; at the end {words}.")\n'
            'step_table(forgetful).set_index("training")'
        ),
    ),
    Exercise(
        key="05.3",
        title="equal time",
        task="Give the frozen trunk as many *seconds* as the training in steps took, instead of as many epochs. "
        "Complete the function; the cell then trains. Does the verdict change?",
        frame=(
            "def epochs_in_equal_time(run: StepwiseRun, other: StepwiseRun) -> int | None:\n"
            '    """How many epochs of `other` fit into the time that `run` took."""\n'
            "«here»\n\n\n"
            "many = epochs_in_equal_time(stepwise, frozen)\n"
            'answer("05.3", epochs_in_equal_time if many is not None else None)\n'
            "if many is not None:\n"
            '    steps = [Step("head", config.learning_rate, max(1, min(int(many), 10 if FAST else 200)))]\n'
            "    patient = train_in_steps(bench, config, steps)\n"
            '    display(step_table({"frozen, equal time": patient, "step by step": stepwise}).set_index("training"))'
        ),
        blank="    return None  # TODO: `seconds` of a run is its whole time, `len(run.history)` its number of epochs",
        solved="    return max(1, round(run.seconds / (other.seconds / len(other.history))))",
        hint="How long does one epoch of `other` take?",
        why="Sending the maps through the frozen stages is most of what the frozen head's time goes into; its epochs "
        "cost almost nothing. So equal time buys it a great many epochs. More epochs rarely help it, though: the "
        "learning rate is divided by ten every five epochs and is soon next to zero. Both kinds of fairness are worth "
        "reporting.",
        judge=_equal_time,
        setup=(
            "stepwise = train_in_steps(bench, config, steps_down(STAGES, epochs=EPOCHS))\n"
            'frozen = train_in_steps(bench, config, [Step("head", config.learning_rate, EPOCHS * len(STAGES))])'
        ),
        claim=(
            "assert frozen.images == patient.images == stepwise.images\n"
            'assert patient.history["learning_rate"].iloc[-1] <= config.learning_rate'
        ),
    ),
)
