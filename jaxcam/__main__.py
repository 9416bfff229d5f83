"""`python -m jaxcam` is the `jaxcam` command."""

import sys

from jaxcam.cli import main

sys.exit(main())
