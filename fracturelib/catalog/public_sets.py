"""Public sets of radiographs: what each is good for, under which licence, how to get it; and fetching the free one.

A set that needs a form or an account is named, never fetched. Sizes and numbers are those that the makers state.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from fracturelib.errors import FracturelibError
from fracturelib.files import download
from fracturelib.files.archives import UNPACKING, unpack
from fracturelib.runtime import offline

FIGSHARE = "https://api.figshare.com/v2"


@dataclass(frozen=True)
class PublicSet:
    """One set; `article` is its number at figshare, where that is known and one archive holds all of it."""

    name: str
    title: str
    size: str
    licence: str
    good_for: str
    how: str
    article: int | None = None
    archive: str = ""


PUBLIC_SETS = (
    PublicSet(
        name="fracatlas",
        title="FracAtlas (Abedeen et al., Scientific Data 2023, doi:10.1038/s41597-023-02432-4)",
        size="4,083 radiographs, 717 with fractures; 0.34 GB",
        licence="CC BY 4.0",
        good_for="hand, leg, hip, shoulder; boxes and outlines of fractures; patients are not known",
        how="fracturelib data fetch fracatlas DIR",
        article=22363012,
        archive="FracAtlas.zip",
    ),
    PublicSet(
        name="grazpedwri-dx",
        title="GRAZPEDWRI-DX (Nagy et al., Scientific Data 2022, doi:10.1038/s41597-022-01328-z)",
        size="20,327 radiographs of 6,091 children; about 15 GB in several archives",
        licence="CC BY 4.0",
        good_for="children's wrists with patient, study, view and side; boxes; an external test set",
        how="download all archives at https://doi.org/10.6084/m9.figshare.14825193 and unpack them into one folder",
    ),
    PublicSet(
        name="mura",
        title="MURA v1.1 (Rajpurkar et al. 2018, arXiv:1712.06957)",
        size="40,005 radiographs (36,808 train, 3,197 valid; the test set is hidden); about 3 GB",
        licence="Stanford's research use agreement: not commercial, not to be passed on",
        good_for="arms with patient and study; its label is 'abnormal', which is wider than fractured",
        how="fill in the form at https://stanfordmlgroup.github.io/competitions/mura/",
    ),
    PublicSet(
        name="rsna-bone-age",
        title="RSNA Pediatric Bone Age (Halabi et al., Radiology 2019, doi:10.1148/radiol.2018180736)",
        size="14,236 radiographs of hands; about 10 GB",
        licence="RSNA's terms of use: read them before you use it",
        good_for="hands of children to look at or to predict on; it has NO label for fractures",
        how="agree to the terms at RSNA's page on the AI challenge of 2017 (search 'RSNA Pediatric Bone Age')",
    ),
    PublicSet(
        name="kaggle",
        title="Bone Fracture Binary Classification (Kaggle, bmadushanirodrigo/fracture-multi-region-x-ray-data)",
        size="about 10,580 files",
        licence="stated on its Kaggle page: read it before you use it",
        good_for="the class folders that are this project's default; look for copies across its splits with 'audit'",
        how="needs an account: https://www.kaggle.com/datasets/bmadushanirodrigo/fracture-multi-region-x-ray-data",
    ),
)


class _Stated(NamedTuple):
    """What figshare says of an archive."""

    url: str
    size: int
    md5: str
    licence: str


def fetch_set(name: str, folder: str | Path, *, api: str = FIGSHARE) -> Path:
    """Download a public set into a folder, check it and unpack it; what broke off is continued by the next call.

    The archive is removed when its files are there, unless somebody else had put it there.

    Args:
        name: of the set, as `fracturelib data list` shows it.
        folder: absent, empty, or with what an earlier call left.
        api: address of figshare's API.

    Returns:
        The folder that holds the set.

    Raises:
        FracturelibError: the set is unknown or not free to fetch, the network is forbidden or does not answer, the
            file is not the one that figshare states, or the folder holds something else.
    """
    chosen, folder = _fetchable(name), Path(folder)
    archive = folder / chosen.archive
    _check_folder(folder, archive)
    if offline():
        cure = "unset it, or bring the set from another machine and give its folder to --data"
        raise FracturelibError(f"{name} cannot be fetched: FRACTURELIB_OFFLINE forbids the network", cure=cure)
    brought = archive.exists()
    try:
        stated = _ask(chosen, api)
        print(f"{chosen.title}\nLicence: {stated.licence}\nSize:    {stated.size / 1e6:,.0f} MB", flush=True)
        if not brought:
            download.fetch(stated.url, archive, checksum=stated.md5, algorithm="md5", size=stated.size)
        elif download.digest_of(archive, "md5") != stated.md5:
            raise download.DownloadError("the archive that lies there is not the one that figshare states")
    except download.DownloadError as error:
        raise FracturelibError(
            f"{name} could not be fetched: {error}",
            file=archive,
            cause="no network, a proxy or firewall in between, or a server that is busy",
            cure="try again: a transfer that broke off is continued",
        ) from error
    found = unpack(archive, folder)
    if not brought:
        archive.unlink()
    return found


def _fetchable(name: str) -> PublicSet:
    found = next((one for one in PUBLIC_SETS if one.name == name), None)
    if found is None:
        names = ", ".join(one.name for one in PUBLIC_SETS)
        raise FracturelibError(f"there is no public set '{name}' here", cure=f"choose one of {names}")
    if found.article is None:
        raise FracturelibError(f"{name} cannot be fetched by a program", cause=found.licence, cure=found.how)
    return found


def _check_folder(folder: Path, archive: Path) -> None:
    """Raise FracturelibError unless the folder is absent, empty, or holds only what an earlier call left."""
    ours = {archive.name, f"{archive.name}.part", UNPACKING}
    if folder.exists() and not folder.is_dir():
        raise FracturelibError("a file stands where the folder belongs", file=folder, cure="choose another folder")
    if folder.is_dir() and {path.name for path in folder.iterdir()} - ours:
        raise FracturelibError("the folder holds something already", file=folder, cure="choose an empty one")


def _ask(chosen: PublicSet, api: str) -> _Stated:
    """Address, size and MD5 of the archive, as figshare states them.

    Raises:
        DownloadError: no answer, or one without the archive or its MD5.
    """
    answer = download.fetch_json(f"{api}/articles/{chosen.article}")
    try:
        files: list[dict[str, Any]] = [one for one in answer["files"] if one["name"] == chosen.archive]
        file = files[0]
        md5 = str(file.get("computed_md5") or file["supplied_md5"]).lower()
        stated = _Stated(file["download_url"], int(file["size"]), md5, str(answer["license"]["name"]))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise download.DownloadError(f"the answer does not describe {chosen.archive}") from error
    scheme = api.partition(":")[0]
    if not re.fullmatch(r"[0-9a-f]{32}", stated.md5) or not str(stated.url).startswith(f"{scheme}://"):
        raise download.DownloadError(f"the answer states no MD5 or no {scheme} address for {chosen.archive}")
    if not 0 < stated.size <= download.LARGEST_BYTES:
        raise download.DownloadError(f"the answer states a size of {stated.size} bytes, which no such file has")
    return stated
