"""The settings of a run, the class names and the constants that every other module shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from fracturelib.errors import ConfigError

CLASS_NAMES = ("not fractured", "fractured")  # the position is the label
POSITIVE = 1  # label of "fractured", never left to alphabetical order
SPLITS = ("train", "val", "test")

# Mean and standard deviation of ImageNet's training pixels, RGB in 0…1 (torchvision's presets).
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def _setting(default: Any, text: str, low: float | None = None, high: float | None = None) -> Any:
    """A field with its help text and inclusive range, so that the command line is generated from it."""
    return field(default=default, metadata={"help": text, "low": low, "high": high})


# What a setting of a few words may be.
CHOICES = {
    "head": ("recipe", "linear", "logistic"),
    "fit": ("square", "pad", "crop"),
    "pool": ("mean", "mean+max", "gem"),
    "precision": ("auto", "float32", "bfloat16", "int8"),
    "engine": ("auto", "torch", "onnxruntime"),
}
OVERLAP = 0.25  # of a tile's side


@dataclass(frozen=True)
class TrainConfig:
    """All settings of one training run.

    Raises:
        ConfigError: a value has the wrong type or lies outside its range.
    """

    data: str = _setting("data/Bone_Fracture_Binary_Classification", "folder with train, val and test inside")
    polarity: str = _setting("keep", "what to do with pictures that look inverted (dark bone): keep or fix")
    architecture: str = _setting(
        "resnet18", "the trunk: a network of torchvision, or timm:NAME, hf:ORGANISATION/NAME, file:PATH"
    )
    weights: str = _setting("auto", "where the trunk's weights come from: auto, imagenet, distilled, none or a file")
    unfreeze: str = _setting("head", "lowest part that is trained: head, or a stage such as layer4 or layer3")
    head: str = _setting(
        "recipe", "what is trained: recipe, linear (one layer), or logistic (scikit-learn's regression)"
    )
    hidden_units: int = _setting(256, "width of the head's hidden layer", 1, 65_536)
    dropout: float = _setting(0.5, "share of hidden units dropped in training", 0.0, 0.95)
    epochs: int = _setting(10, "most passes over the training images", 1, 10_000)
    batch_size: int = _setting(32, "images per optimiser step", 1, 65_536)
    learning_rate: float = _setting(1e-3, "Adam's learning rate at the start", 1e-8, 10.0)
    trunk_rate: float = _setting(
        1.0, "learning rate of an unfrozen part of the trunk, as a share of the head's", 1e-6, 1.0
    )
    weight_decay: float = _setting(0.03, "pull of Adam towards small weights (L2)", 0.0, 10.0)
    step_size: int = _setting(5, "epochs between two drops of the learning rate", 1, 10_000)
    gamma: float = _setting(0.1, "factor of each drop of the learning rate", 1e-6, 1.0)
    patience: int = _setting(3, "epochs in a row with a risen validation loss before training stops", 1, 10_000)
    min_delta: float = _setting(
        0.05, "smallest rise of the validation loss above its lowest value that counts", 0.0, 10.0
    )
    image_size: int = _setting(224, "side in pixels of the square that the trunk sees", 32, 2048)
    fit: str = _setting(
        "square", "how a picture becomes a square: square (squeezed), pad (grey margins), crop (round the anatomy)"
    )
    pool: str = _setting("mean", "how the trunk's maps become features: mean (its own way), mean+max, or gem")
    tiles: int = _setting(1, "N × N overlapping tiles at full size, beside the whole picture (1: none)", 1, 8)
    flip_probability: float = _setting(0.5, "chance of a horizontal flip in training", 0.0, 1.0)
    rotation_degrees: float = _setting(10.0, "largest random rotation in training, in degrees", 0.0, 180.0)
    crop_fraction: float = _setting(0.9, "side of the random crop as a share of the resized image", 0.1, 1.0)
    views: int = _setting(
        2,
        "views per training image, the first of several as it is, the others augmented, run through a frozen trunk "
        "once (0: a new one in every epoch)",
        0,
        10_000,
    )
    threshold: str = _setting(
        "youden", "operating point, by a rule on validation (youden, sensitivity=0.9, costs=20:1), or a fixed number"
    )
    guarantee: str = _setting(
        "none",
        "sensitivity=0.95: say “no fracture” only where, with 95 % confidence over patients, at most 5 % of those "
        "with a fracture fall",
    )
    seed: int = _setting(0, "seed of every random choice", 0, 2**31 - 1)
    workers: int = _setting(0, "processes that read images (0: the main process)", 0, 256)
    device: str = _setting("auto", "auto, cpu, cuda or mps")
    precision: str = _setting(
        "auto",
        "of the frozen trunk: float32, bfloat16, auto (bfloat16 where the hardware computes in it), or int8 (by "
        "onnxruntime, on processors only; calibrated on training images)",
    )
    engine: str = _setting(
        "auto", "what computes the frozen trunk: torch, onnxruntime (float32 or int8), or auto (torch, except for int8)"
    )

    def __post_init__(self) -> None:
        for entry in fields(self):
            _check(entry, getattr(self, entry.name))
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigError(f"{name} is '{getattr(self, name)}'", cure=f"choose one of {', '.join(choices)}")
        if self.device not in ("auto", "cpu", "cuda", "mps"):
            raise ConfigError(f"device is '{self.device}'", cure="choose auto, cpu, cuda or mps")
        if self.polarity not in ("keep", "fix"):
            raise ConfigError(f"polarity is '{self.polarity}'", cure="choose keep or fix")
        _check_engine(self.precision, self.engine)
        if self.head == "logistic" and self.unfreeze != "head":
            raise ConfigError(
                "a logistic regression cannot train a part of the trunk",
                cure="leave --unfreeze out, or use --head linear",
            )
        parse_threshold_rule(self.threshold)
        parse_guarantee(self.guarantee)

    @property
    def picture_side(self) -> int:
        """Side in pixels of the square picture; the trunk sees it whole, or in tiles of `image_size` that overlap."""
        return self.image_size + (self.tiles - 1) * round(self.image_size * (1 - OVERLAP))

    @property
    def computed_by_onnxruntime(self) -> bool:
        """Whether onnxruntime computes the frozen trunk, in float32 or int8."""
        return self.engine == "onnxruntime" or self.precision == "int8"

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """The inverse of `to_dict`; raises ConfigError on a name that this version does not know."""
        known = {entry.name for entry in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ConfigError(
                f"unknown setting: {', '.join(unknown)}",
                cause="the settings were written by another version",
                cure=f"use only {', '.join(sorted(known))}",
            )
        return cls(**values)


def _check_engine(precision: str, engine: str) -> None:
    """Raise ConfigError where an engine cannot compute in a precision."""
    if precision == "int8" and engine == "torch":
        raise ConfigError("torch does not compute in int8 here", cure="leave --engine out, or use --precision float32")
    if precision == "bfloat16" and engine == "onnxruntime":
        cause = "it computes in float32 and int8"
        raise ConfigError("onnxruntime does not compute in bfloat16", cause=cause, cure="leave --engine out")


def _check(entry: Any, value: Any) -> None:
    """Type and range of one field; an int is welcome where a float is asked for."""
    kind: Any = {"str": str, "int": int, "float": (int, float)}[entry.type]
    if isinstance(value, str) and (not value or "\0" in value):
        raise ConfigError(f"{entry.name} is {value!r}", cure="give it a value")
    if isinstance(value, bool) or not isinstance(value, kind):
        raise ConfigError(f"{entry.name} is {value!r}", cure=f"give it a value of type {entry.type}")
    low, high = entry.metadata["low"], entry.metadata["high"]
    # Written as "not inside", so that NaN fails as well.
    if low is not None and not low <= value <= high:
        shown = "far outside" if abs(value) > 1e15 else value  # Python writes no number of 5,000 digits
        raise ConfigError(f"{entry.name} is {shown}", cure=f"choose a value from {low:g} to {high:g}")


# Named sets of settings, by what differs from the recipe. "best" is what `benchmarks.presets` measured.
PRESETS: dict[str, dict[str, Any]] = {
    "recipe": {},
    "best": {
        "image_size": 320,
        "fit": "crop",
        "pool": "mean+max",
        "head": "logistic",
        "views": 1,  # of the plain picture: what is asked about later is neither cropped nor turned
        "flip_probability": 0.0,
        "rotation_degrees": 0.0,
        "crop_fraction": 1.0,
    },
}


def preset_settings(name: str, **explicit: Any) -> TrainConfig:
    """The settings of a preset; what is given explicitly wins.

    Raises:
        ConfigError: there is no such preset, or a value is not allowed.
    """
    if name not in PRESETS:
        raise ConfigError(f"there is no preset '{name}'", cure=f"choose one of {', '.join(PRESETS)}")
    return TrainConfig.from_dict({**PRESETS[name], **explicit})


def parse_threshold_rule(rule: str | float) -> tuple[str, tuple[float, ...]]:
    """The rule's name and its numbers: "youden" (), "sensitivity" (least,), "costs" (miss, false alarm), "fixed" (p,).

    Raises:
        ConfigError: the text is none of these rules, or a number of it is out of range.
    """
    name, _, text = str(rule).partition("=")
    try:
        if rule == "youden":
            return "youden", ()
        if name == "sensitivity" and 0 < float(text) <= 1:
            return name, (float(text),)
        if name == "costs":
            miss, false_alarm = map(float, text.split(":"))
            if all(1e-6 <= cost <= 1e6 for cost in (miss, false_alarm)):
                return name, (miss, false_alarm)
        if not text and 0 < float(rule) < 1:
            return "fixed", (float(rule),)
    except ValueError:
        pass
    raise ConfigError(
        f"threshold is {rule!r}",
        cure="use youden, sensitivity=0.9 (at least that, on validation), costs=20:1 (a miss : a false alarm), or a "
        "number between 0 and 1",
    )


def parse_guarantee(text: str) -> float | None:
    """The sensitivity that a guarantee asks for, None for "none"; raises ConfigError for any other text."""
    if text == "none":
        return None
    name, _, number = text.partition("=")
    try:
        if name == "sensitivity" and 0.5 <= float(number) <= 0.999:
            return float(number)
    except ValueError:
        pass
    raise ConfigError(
        f"guarantee is {text!r:.60}", cure="use none, or sensitivity=0.95 (another number from 0.5 to 0.999)"
    )
