"""``python -m graphsim`` is ``graphsim``."""

import sys

from graphsim.cli import main

sys.exit(main())
