"""`fracturelib data list`, `data fetch` and `data miniature`."""

from __future__ import annotations

import argparse

from fracturelib.cli.shared import NOTICE, add_command


def add_data(commands: argparse._SubParsersAction) -> None:
    """The parser of `data` and of what it can do."""
    text = "name public sets of radiographs, fetch those that are free, or make a small copy of a layout"
    parser = commands.add_parser("data", help=text, description=text[0].upper() + text[1:] + ".", epilog=NOTICE)
    actions = parser.add_subparsers(title="what to do", metavar="ACTION", required=True)
    add_command(actions, "list", _list, "name, size, licence and use of public sets, and how to get them")
    fetch = add_command(actions, "fetch", _fetch, "download a public set, check it and unpack it")
    fetch.add_argument("name", metavar="NAME", help="as 'fracturelib data list' shows it, for example fracatlas")
    fetch.add_argument("folder", metavar="DIR", help="an empty or new folder, for example data/fracatlas")
    small = add_command(actions, "miniature", _miniature, "make a small synthetic copy of a layout, to try things on")
    small.add_argument("name", metavar="NAME", help="of the layout, for example mura; a wrong one lists them all")
    small.add_argument("folder", metavar="DIR", help="an empty or new folder")


def _list(options: argparse.Namespace) -> int:
    from fracturelib.catalog.public_sets import PUBLIC_SETS

    for one in PUBLIC_SETS:
        print(f"{one.name}\n  what:      {one.title}\n  size:      {one.size}\n  licence:   {one.licence}")
        print(f"  good for:  {one.good_for}\n  get it:    {one.how}\n")
    print("Their pictures are other people's: keep to the licences, and name the makers.")
    return 0


def _fetch(options: argparse.Namespace) -> int:
    from fracturelib.catalog.public_sets import fetch_set

    found = fetch_set(options.name, options.folder)
    print(f"Data: {found}")
    return 0


def _miniature(options: argparse.Namespace) -> int:
    from fracturelib.simulation.miniatures import make_miniature

    truth = make_miniature(options.name, options.folder)
    print(f"Miniature of {options.name}: {len(truth)} simulated radiographs in {options.folder}")
    print(f"What would be read: fracturelib catalog {options.folder}")
    return 0
