"""``python -m redshift_local``."""

import sys

from redshift_local.command import main

sys.exit(main())
