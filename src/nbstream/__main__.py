"""`python -m nbstream`: the command line, for those who have no `nbstream` on their path."""

import sys

from nbstream.cli import main

if __name__ == "__main__":
    sys.exit(main())
