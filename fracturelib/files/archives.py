"""Unpacking an archive that came from elsewhere: all of it or nothing, and nothing outside of the folder."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from fracturelib.errors import FracturelibError

LARGEST_BYTES = 40 * 2**30  # of all files together; the largest public set of radiographs named here has 16 GB
MOST_FILES = 500_000
UNPACKING = ".unpacking"  # where files lie until all of them are there
CHUNK_BYTES = 1 << 20


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a ZIP archive into a folder of its own in `folder`.

    An archive whose files all lie in one folder keeps its name; any other gets the name of the archive.

    Args:
        archive: the ZIP file.
        folder: exists; what an interrupted call left in it is removed.

    Returns:
        The folder that holds the files.

    Raises:
        FracturelibError: it is no ZIP archive or damaged, a member would lie outside of the folder, is a link or
            encrypted, two members have one name, it is too large, or the target exists. Nothing is left then.
    """
    waiting = folder / UNPACKING
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            _check_size(members, archive)
            _check_names(members, archive)
            target = _target(members, archive, folder)
            _clear(waiting)
            for member in members:
                _extract(opened, member, waiting)
        (waiting / target.name if _common_top(members) else waiting).rename(target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise _refused(f"the archive cannot be unpacked ({error})", archive) from error
    except OSError as error:
        cure = "make room, or choose another folder"
        raise FracturelibError(f"the archive cannot be unpacked: {error}", file=folder, cure=cure) from error
    finally:
        shutil.rmtree(waiting, ignore_errors=True)
    return target


def _check_size(members: list[zipfile.ZipInfo], archive: Path) -> None:
    """Raise FracturelibError if the archive holds nothing, or more than there is room for."""
    size = sum(member.file_size for member in members)
    if not members:
        raise _refused("the archive is empty", archive)
    if size > LARGEST_BYTES or len(members) > MOST_FILES:
        raise _refused(f"the archive would unpack to {len(members):,} files of {size / 1e9:,.0f} GB", archive)
    if size > shutil.disk_usage(archive.parent).free:
        cure = "make room, or choose a folder on another disk"
        what = f"the files need {size / 1e9:.1f} GB, and there is less room than that"
        raise FracturelibError(what, file=archive.parent, cure=cure)


def _check_names(members: list[zipfile.ZipInfo], archive: Path) -> None:
    """Raise FracturelibError, before anything is written, if a member could do harm."""
    seen: set[str] = set()
    for member in members:
        name, parts = member.filename, PurePosixPath(member.filename).parts
        kind = stat.S_IFMT(member.external_attr >> 16)
        key = "/".join(parts).casefold()
        if not parts or parts[0] == "/" or ".." in parts or "\\" in name or ":" in name:
            raise _refused(f"the archive holds a file that would lie outside of the folder: {name!r}", archive)
        if kind not in (0, stat.S_IFREG):  # 0: made on a system without kinds of files
            raise _refused(f"the archive holds a link or a device: {name!r}", archive)
        if member.flag_bits & 1:
            raise _refused(f"the archive is encrypted: {name!r}", archive)
        if key in seen:
            raise _refused(f"the archive holds two files of one name: {name!r}", archive)
        seen.add(key)


def _common_top(members: list[zipfile.ZipInfo]) -> str | None:
    """The one folder in which all members lie, or None."""
    tops = {PurePosixPath(member.filename).parts[0] for member in members}
    deep = all(len(PurePosixPath(member.filename).parts) > 1 for member in members)
    return tops.pop() if len(tops) == 1 and deep else None


def _target(members: list[zipfile.ZipInfo], archive: Path, folder: Path) -> Path:
    target = folder / (_common_top(members) or archive.stem)
    if target.exists() or target.is_symlink():
        cure = "move it away, or choose another folder"
        raise FracturelibError("the folder for the files is there already", file=target, cure=cure)
    return target


def _clear(waiting: Path) -> None:
    """An empty folder; what lies there was left by an earlier call that was cut off."""
    if waiting.is_symlink():
        raise _refused("a link stands where files are unpacked", waiting)
    shutil.rmtree(waiting, ignore_errors=True)
    waiting.mkdir()


def _extract(opened: zipfile.ZipFile, member: zipfile.ZipInfo, waiting: Path) -> None:
    """Write one member; zipfile checks its CRC and gives no more than its stated size."""
    path = waiting.joinpath(*PurePosixPath(member.filename).parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(member) as source, path.open("xb") as file:
        shutil.copyfileobj(source, file, CHUNK_BYTES)


def _refused(what: str, archive: Path) -> FracturelibError:
    return FracturelibError(what, file=archive, cause="a damaged or a harmful file", cure="leave it out; get it anew")
