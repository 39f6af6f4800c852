"""python -m npvae: the command line."""

import sys

from npvae.cli import main

if __name__ == "__main__":
    sys.exit(main())
