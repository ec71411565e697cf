"""`python -m quickstudy_console` is `quickstudy`."""

import sys

from quickstudy_console import main

sys.exit(main())
