"""`python -m quickstudy.cli` is `quickstudy`."""

import sys

from quickstudy_console import main

sys.exit(main())
