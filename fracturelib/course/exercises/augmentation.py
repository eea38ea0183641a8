"""The exercises of notebook 02."""

from typing import Any

import pandas as pd
from torchvision.transforms import v2

from fracturelib.course.exercises.exercise import Exercise, because, near
from fracturelib.course.studies.augmentation import crop_losses, share_in_sight

MOST_LOST = 0.01  # of the fractures, that a crop may cut away in exercise 1
ERASED = 0.3  # side of the square that exercise 3 paints black


def _lost(known: pd.DataFrame, crop: float, seed: int) -> float:
    return float(crop_losses(known, (crop,), seed=seed)["mostly_gone"].iloc[0])


def _smallest_crop(value: Any, *, known: pd.DataFrame, seed: int) -> str | None:
    if not isinstance(value, int | float):
        return "write one number, the side of the crop"
    if not 0 < value <= 1:
        return "the side of a crop is a share of the picture's side: more than 0, at most 1 (not per cent, no pixels)"
    if abs(value - round(value, 2)) > 1e-9:
        return "two decimals are asked for"
    here = _lost(known, value, seed)
    if here > MOST_LOST:
        return f"this crop cuts away {here:.1%} of the fractures; allowed is 1 %. Take a larger one"
    return because(
        (
            value > 0.01 and _lost(known, round(value - 0.01, 2), seed) <= MOST_LOST,
            f"it keeps the promise ({here:.2%} are cut away), but a smaller one does so, too",
        )
    )


def _jitter(value: Any) -> str | None:
    if value is v2.ColorJitter:
        return "this is the class; call it with its strengths: v2.ColorJitter(…)"
    if not isinstance(value, v2.ColorJitter):
        return "this is no ColorJitter; here brightness and contrast have to change, and nothing else"
    ranges = {name: getattr(value, name) for name in ("brightness", "contrast", "saturation", "hue")}
    moves = {name: found is not None and found[0] != found[1] for name, found in ranges.items()}
    return because(
        (moves["hue"] or moves["saturation"], "a grey picture has no hue and no saturation: leave these out"),
        (not moves["brightness"] and not moves["contrast"], "with strength 0 nothing changes"),
        (not moves["brightness"], "brightness does not change yet"),
        (not moves["contrast"], "contrast does not change yet"),
        (
            min(ranges["brightness"][0], ranges["contrast"][0]) < 0.2,
            "so strong that a picture can become almost black or without any contrast: its label is then a lie",
        ),
    )


def _hidden(value: Any, *, known: pd.DataFrame, seed: int) -> str | None:
    if getattr(value, "ndim", 0):
        return "this is a share for each box and each draw; asked is one number: in how many is it above a half?"
    inside = share_in_sight(known, ERASED, seed=seed)
    right = float((inside > 0.5).mean())
    return because(
        (not isinstance(value, int | float) and not hasattr(value, "item"), "write one number"),
        (value != 0 and near(value, 100 * right), "write a share between 0 and 1, not per cent"),
        (near(value, (inside < 0.5).mean()), "here the square is what is *lost*: inside must be more than a half"),
        (near(value, (inside > 0).mean()), "that counts every box that is touched; asked is more than half of it"),
        (near(value, inside.mean()), "that is the mean share that is hidden, not how often more than half is"),
        (near(value, ERASED**2, 1e-6), "that is the area of the square; count boxes instead"),
        (abs(value - right) > 0.001, f"count with `share_in_sight(known, {ERASED}, seed=SEED)`, nothing else"),
    )


EXERCISES = (
    Exercise(
        key="02.1",
        title="how far may you go?",
        task="Find the **smallest** crop (its side, with two decimals) that leaves at most 1 % of the fractures mostly "
        "cut away. Try values, or let a loop try them.",
        frame=('«here»\n\nanswer("02.1", my_crop, known=known, seed=SEED)'),
        blank="my_crop = None  # TODO: a side between 0 and 1; crop_losses(known, (side,), seed=SEED) says what is lost",
        solved=(
            "crops = tuple(round(0.5 + 0.01 * step, 2) for step in range(51))\n"
            "losses = crop_losses(known, crops, seed=SEED)\n"
            'my_crop = float(losses.loc[losses["mostly_gone"] > 0.01, "fraction"].max()) + 0.01\n'
            "my_crop = round(my_crop, 2)"
        ),
        hint="The loss falls as the crop grows. So look for the place where it crosses 1 %: halve the range each time.",
        why="The recipe's crop is larger than that, so it is on the safe side. The answer belongs to *this* set: in "
        "pictures whose fractures lie near the border it would be another.",
        judge=_smallest_crop,
        claim='assert 0.5 < my_crop <= config.crop_fraction, "the recipe\'s crop is on the safe side"',
    ),
    Exercise(
        key="02.2",
        title="add an augmentation",
        task="Exposure differs between machines. Build an augmentation that changes **brightness and contrast** at "
        "random, and look at what it does.",
        frame=(
            "«here»\n\n"
            'answer("02.2", jitter)\n'
            "if jitter is not None:\n"
            "    steps = list(train_transform(config).transforms)\n"
            "    steps.insert(2, jitter)  # after the resizing, while the picture is still grey from 0 to 255\n"
            "    torch.manual_seed(SEED)\n"
            "    images = torch.stack([v2.Compose(steps)(radiograph) for _ in range(4)])\n"
            '    names = [f"variant {number}" for number in range(1, 5)]\n'
            "    pictures = dict(zip(names, displayed(images), strict=True))\n"
            '    show(named_pictures(pictures), "Four variants with random brightness and contrast")'
        ),
        blank="jitter = None  # TODO: torchvision's v2 has a transform whose name begins with Color",
        solved="jitter = v2.ColorJitter(brightness=0.4, contrast=0.4)",
        hint="`help(v2.ColorJitter)` names its four strengths; two of them make sense for a grey picture.",
        why="The bone is still there in each of them, and exposures do differ between machines, so the label stays "
        "true. Whether it *helps* is a question for training.",
        judge=_jitter,
        claim=(
            "assert images.shape == (4, 3, config.image_size, config.image_size)\n"
            'assert torch.stack([image.mean() for image in images]).std() > 0.01, "the variants differ in brightness"'
        ),
    ),
    Exercise(
        key="02.3",
        title="random erasing",
        task="Another popular augmentation paints a random square black. **In which share of the pictures** does a "
        "square with 0.3 of the side hide more than half of the fracture's box? The erased square is a window, too, but "
        "now what lies *inside* it is lost. `share_in_sight` gives the share of each box inside a random window, for "
        "every box and many draws.",
        frame='«here»\n\nanswer("02.3", hidden, known=known, seed=SEED)',
        blank="hidden = None  # TODO: one number between 0 and 1",
        solved="hidden = float((share_in_sight(known, 0.3, seed=SEED) > 0.5).mean())",
        hint="Compare the shares with 0.5. The mean of True and False is a share.",
        why="A black window with 0.3 of the side hides most of the fracture in a noticeable share of the pictures, and "
        "each of those carries a false label. For photographs, where the object fills the picture, the same "
        "augmentation is popular. A smaller window, or one that is kept away from the bones, would be safer.",
        judge=_hidden,
        claim=(
            'assert hidden > 0.01, "random erasing makes some labels false"\n'
            'assert (share_in_sight(known, 0.1, seed=SEED) > 0.5).mean() < hidden, "a smaller window does less harm"'
        ),
    ),
)
