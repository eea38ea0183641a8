"""`python -m fracturelib.cli`."""

from fracturelib.cli import main

raise SystemExit(main())
