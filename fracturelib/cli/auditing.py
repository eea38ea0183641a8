"""`fracturelib audit`."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from fracturelib.cli.shared import (
    NOTICE,
    SEED,
    add_command,
    add_data_options,
    add_verify,
    data_options,
    print_reading,
)


def add_audit(commands: argparse._SubParsersAction) -> None:
    """The parser of `audit`."""
    parser = add_command(
        commands, "audit", _audit, "find copies, leaks and shortcuts in a folder of X-rays", together=True
    )
    parser.add_argument("folder", metavar="DIR", help="folder of images, best with train, val and test inside")
    parser.add_argument(
        "--report",
        metavar="FOLDER",
        help="where audit.html, its tables and the findings go (default: audit/NAME OF DIR in the working folder)",
    )
    parser.add_argument("--no-names", action="store_true", help="let pictures alone say what is a copy, not file names")
    parser.add_argument(
        "--write-metadata",
        action="store_true",
        help="write source_id into DIR/metadata.csv (all else there stays)",
    )
    parser.add_argument(
        "--clean-split",
        action="store_true",
        help="write a new split by source as DIR/clean_split.csv; no image is moved, later commands use it",
    )
    add_verify(parser)
    add_data_options(parser)
    parser.add_argument("--seed", type=SEED, default=0, help="seed of --clean-split (default: %(default)s)")


def _audit(options: argparse.Namespace) -> int:
    from fracturelib.runtime.processes import by_first, joined_processes

    with joined_processes():
        return by_first(partial(_audit_and_write, options))


def _audit_and_write(options: argparse.Namespace) -> int:
    from fracturelib.audit import (
        audit,
        check_audit_folder,
        check_corrections,
        write_clean_split,
        write_metadata,
        write_page,
    )
    from fracturelib.audit.summary import summary
    from fracturelib.catalog import FACTS_FOLDER, KeptFacts, survey

    folder = Path(options.report or Path("audit") / Path(options.folder).resolve().name)
    check_audit_folder(folder)
    check_corrections(options.folder, metadata=options.write_metadata, clean_split=options.clean_split)
    table = survey(
        options.folder,
        polarity=options.polarity or "keep",
        options=data_options(options),
        kept=KeptFacts(folder / f".{FACTS_FOLDER}", verify=options.verify),
    )
    print_reading(table)
    folder.mkdir(parents=True, exist_ok=True)
    result = audit(table, names=not options.no_names, memory=folder)
    print("\n".join(summary(result)))
    print(f"\nReport:   {write_page(result, folder)}")
    if options.write_metadata:
        print(f"Sources:  {write_metadata(result)}")
    if options.clean_split:
        print(f"Split:    {write_clean_split(result, seed=options.seed)}")
    print(NOTICE)
    return 0
