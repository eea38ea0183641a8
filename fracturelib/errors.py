"""Errors and warnings that say what happened, in which file, the likely cause and the cure."""

from __future__ import annotations

from pathlib import Path


class FracturelibError(Exception):
    """Base of every error that a user can cause and cure; the command line prints it and exits with 2.

    Args:
        what: what happened, in one sentence.
        file: the file or folder concerned.
        cause: the likely cause.
        cure: what the reader can do now.
    """

    def __init__(
        self,
        what: str,
        *,
        file: str | Path | None = None,
        cause: str | None = None,
        cure: str | None = None,
    ) -> None:
        self.what, self.file, self.cause, self.cure = what, file, cause, cure
        lines = [what]
        if file is not None:
            lines.append(f"  file:         {file}")
        if cause:
            lines.append(f"  likely cause: {cause}")
        if cure:
            lines.append(f"  what to do:   {cure}")
        super().__init__("\n".join(lines))


class ConfigError(FracturelibError):
    """A setting is out of range or unknown."""


class ImageError(FracturelibError):
    """A file cannot be read as a radiograph.

    Attributes:
        kind: what it holds instead, such as a structured report; "" where it is damaged or unknown.
    """

    kind: str = ""

    def at(self, file: str | Path) -> ImageError:
        """The same error with its file named."""
        named = ImageError(self.what, file=file, cause=self.cause, cure=self.cure)
        named.kind, named.__cause__ = self.kind, self.__cause__
        return named


class CatalogError(FracturelibError):
    """A folder is not laid out as a data set."""


class WeightsError(FracturelibError):
    """Pretrained weights are missing, damaged or made for another network."""


class InputError(FracturelibError):
    """A tensor that was given to a model is not what it takes."""


class TrainingError(FracturelibError):
    """Training cannot start, or cannot go on."""


class EvaluationError(FracturelibError):
    """Predictions and labels cannot be turned into numbers."""


class RunError(FracturelibError):
    """A saved run is missing, damaged or made by other code."""


class RunBusyError(RunError):
    """Another process is training the run."""


class LostProcessError(FracturelibError):
    """Another of the processes that work together has ended, or cannot be reached any more."""


class FracturelibWarning(UserWarning):
    """Base of the project's warnings, so that a caller can filter them as one."""


class DataWarning(FracturelibWarning):
    """Files were skipped, cut short or contradict each other."""


class SplitLeakWarning(FracturelibWarning):
    """One source or one patient is in more than one split."""


class RunWarning(FracturelibWarning):
    """A run can be used, but not everything about it is known."""


class WeightsWarning(FracturelibWarning):
    """The weights in use are not the ones that the reader may expect."""
