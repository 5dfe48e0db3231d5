"""`python -m pinnsolve` is the command line."""

import sys

from pinnsolve.cli import main

sys.exit(main())
