"""`audit`: a table of files → what is in them, which are copies, what leaks, and what gives the label away."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fracturelib.audit import findings
from fracturelib.audit.identity import identity_notes, identity_table
from fracturelib.audit.inventory import inventory_facts, problem_table
from fracturelib.audit.reading import LETTERS
from fracturelib.audit.shortcuts import find_shortcuts
from fracturelib.audit.sources import find_leaks, patients_in_several_splits, sample_size, with_sources
from fracturelib.catalog import FACTS_FOLDER, NO_SPLIT, UNKNOWN, describe, polarities, root_of
from fracturelib.errors import CatalogError
from fracturelib.writing.words import few

FINDINGS = "findings.npz"
JUDGED = f".{FACTS_FOLDER}/shortcuts.json"
PICTURES = f".{FACTS_FOLDER}/pictures"


@dataclass(frozen=True)
class Audit:
    """The audit of one set; every attribute but `root` and `notes` is a table.

    Attributes:
        root: the folder of the images.
        table: the audited files, with the `source_id` that the audit found and `source_by`, how it is known.
        counts: split, class, files, sources.
        facts: fact, value: sizes, modes, bit depths, class balance.
        problems: path, problem of unusable and truncated files.
        links: path_one, path_other, how, and the evidence of the pairs that were found to show the same radiograph.
        leaks: sources across splits or labels (see `find_leaks`).
        sample_size: files beside sources and the interval of an accuracy (see `sample_size`).
        shortcuts: signs that tell the label without the bone (see `find_shortcuts`).
        identity: path, sign of what may tell who somebody is (see `identity_table`).
        notes: sentences on what could not be done, and on what the reader must know.
    """

    root: str
    table: pd.DataFrame
    counts: pd.DataFrame
    facts: pd.DataFrame
    problems: pd.DataFrame
    links: pd.DataFrame
    leaks: pd.DataFrame
    sample_size: pd.DataFrame
    shortcuts: pd.DataFrame
    notes: tuple[str, ...]
    identity: pd.DataFrame

    @property
    def n_files(self) -> int:
        """How many usable files there are."""
        return len(self.table)

    @property
    def n_sources(self) -> int:
        """How many different radiographs they show."""
        return int(self.table["source_id"].nunique())

    @property
    def copies(self) -> pd.DataFrame:
        """The files of every source that has more than one, with columns source_id, files, path, split, label."""
        sizes = self.table.groupby("source_id")["path"].transform("size")
        kept = self.table.assign(files=sizes)[sizes > 1]
        order = kept.sort_values(["files", "source_id", "path"], ascending=[False, True, True])
        return order[["source_id", "files", "source_by", "path", "split", "label"]].reset_index(drop=True)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table by the name of its file, without ending."""
        sources = self.table[["path", "split", "label", "source_id", "source_by"]].rename(columns={"path": "file"})
        return {
            "counts": self.counts,
            "facts": self.facts,
            "problems": self.problems,
            "sources": sources,
            "links": self.links,
            "leaks": self.leaks,
            "sample_size": self.sample_size,
            "shortcuts": self.shortcuts,
            "identity": self.identity,
        }


def audit(
    table: pd.DataFrame,
    *,
    root: str | Path | None = None,
    names: bool = True,
    memory: str | Path | None = None,
    progress: bool = True,
) -> Audit:
    """Audit the files of a table, as `read_catalog` or `survey` returns it; no file is changed.

    Args:
        table: at least path, split, label, source_id, width, height, sha256.
        root: the folder of the images; default: what the table says.
        names: let the given source_id (from file names or metadata.csv) join files as well; without, pictures alone do.
        memory: a folder where the findings about the pictures are kept, so that a second audit of the same files takes
            seconds; None keeps nothing.
        progress: show progress bars.

    Raises:
        CatalogError: the table does not say where its files lie, or no file can be read.
    """
    root = root_of(table, root)
    found = _findings(table, root, None if memory is None else Path(memory), progress=progress)
    if not len(found.rows):
        raise CatalogError("not one file of the table can be read", file=root, cure="check the path of the folder")
    kept = table.iloc[found.rows].reset_index(drop=True)
    kept = with_sources(kept, found.copies, names=names)
    kept.attrs = {**table.attrs, "root": str(root)}
    problems = problem_table(kept, [*table.attrs.get("skipped", []), *found.problems])
    leaks = find_leaks(kept, found.copies.links, root)
    shortcuts = find_shortcuts(kept, found.appearance, memory=None if memory is None else Path(memory) / JUDGED)
    identifying = identity_table(kept["path"].tolist(), found.appearance[LETTERS].tolist())
    return Audit(
        root=str(root),
        table=kept,
        counts=describe(kept),
        facts=inventory_facts(kept, problems),
        problems=problems,
        links=_with_paths(found.copies.links, kept["path"]),
        leaks=leaks,
        sample_size=sample_size(kept),
        shortcuts=shortcuts,
        notes=(*_notes(kept), *identity_notes(identifying)),
        identity=identifying,
    )


def _findings(table: pd.DataFrame, root: Path, memory: Path | None, *, progress: bool) -> findings.Findings:
    """From the memory where it is about these files; else found, and kept there."""
    ways = polarities(table)
    hashes = [f"{sha256} {way}" for sha256, way in zip(table["sha256"], ways, strict=True)]
    files = findings.Files(root, table["path"].tolist(), ways, hashes)
    if memory is None:
        return findings.find(files, None, progress=progress)
    known = findings.load(memory / FINDINGS, hashes)
    if known is not None:
        return known
    found = findings.find(files, memory / PICTURES, progress=progress)
    findings.save(found, memory / FINDINGS, hashes)
    return found


def _with_paths(links: pd.DataFrame, paths: pd.Series) -> pd.DataFrame:
    """Links with the paths of their files in place of row numbers."""
    ends = {name: paths.iloc[links[name].to_numpy(int)].to_numpy() for name in ("one", "other")}
    return links.assign(**ends).rename(columns={"one": "path_one", "other": "path_other"})


def _notes(table: pd.DataFrame) -> list[str]:
    """What this set cannot tell."""
    notes = []
    if (table["split"] == NO_SPLIT).all():
        notes.append("No folder is named train, val or test: leaks between splits cannot be looked for.")
    elif len(set(table["split"])) == 1:
        notes.append(f"There is one split only ({table['split'].iloc[0]}): leaks between splits cannot be looked for.")
    if "inverted" in table and table["inverted"].any():
        done = "turned" if table["turned"].any() else "taken as stored"
        names = few(table.loc[table["inverted"], "path"].tolist())
        notes.append(f"{int(table['inverted'].sum())} pictures look inverted (dark bone), {done}: {names}.")
    labels = set(table["label"]) - {UNKNOWN}
    if not labels:
        notes.append("No folder is named after a class: labels and shortcuts cannot be looked at.")
    elif len(labels) == 1:
        notes.append("There is one class only: shortcuts and contradicting labels cannot be looked for.")
    unlabelled = int((table["label"] == UNKNOWN).sum())
    if labels and unlabelled:
        notes.append(f"{unlabelled} files lie in no class folder; they count among the copies, but not for shortcuts.")
    patients = patients_in_several_splits(table)
    if patients:
        notes.append(f"{patients} patients have files in more than one split, by the column patient_id.")
    return notes
