"""``python -m grading``: o mesmo que ``corrigir``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
