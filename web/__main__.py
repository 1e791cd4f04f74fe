"""`python -m web`: serve HTTP until SIGTERM."""

import sys

from web.process import main

if __name__ == "__main__":
    sys.exit(main())
