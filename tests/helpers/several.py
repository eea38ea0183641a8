"""What each of several processes runs: commands one after the other, with a misfortune where one is asked for.

`several.py COMMANDS`, a JSON list of command lines. MISFORTUNE in the environment says what happens when this process
is asked for features the second time, in its first attempt: "hold" makes the file HOLD_FILE and waits to be killed,
"die" ends at once.
"""

import json
import os
import sys
import time
from pathlib import Path

from fracturelib.cli import main
from fracturelib.runtime import connections

SECONDS_OF_SILENCE = {"TCP_KEEPIDLE": 2, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 5_000}


def meet_misfortune() -> None:
    """Replace what computes features by what fails the second time."""
    from fracturelib.features import computing

    usual, calls = computing._frozen_outputs, []

    def fail_later(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            return usual(*arguments)
        if os.environ["MISFORTUNE"] == "die":
            os._exit(9)
        Path(os.environ["HOLD_FILE"]).touch()
        time.sleep(600)
        raise AssertionError("nobody has pulled the plug")

    computing._frozen_outputs = fail_later


def run(commands: list[list[str]]) -> int:
    """The exit code of the first command that fails; 0 if none does."""
    connections._KEPT_ALIVE.update(SECONDS_OF_SILENCE)
    if os.environ.get("MISFORTUNE") and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        meet_misfortune()
    return next(filter(None, map(main, commands)), 0)


if __name__ == "__main__":
    sys.exit(run(json.loads(sys.argv[1])))
