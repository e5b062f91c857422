"""``python -m codebuddy``."""

import sys

from codebuddy.cli import main

sys.exit(main())
