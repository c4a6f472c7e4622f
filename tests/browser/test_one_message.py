"""A message in a cell: it streams, it stops moving, it is saved; nothing jumps."""

import os
from pathlib import Path

from questions import answer, ask, at_least, is_
