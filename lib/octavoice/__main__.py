"""``python -m octavoice`` is the command line, also where no script is installed."""

import sys

from octavoice import cli

sys.exit(cli.main())
