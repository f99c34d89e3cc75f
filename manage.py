#!/usr/bin/env python
"""Django's command line for the portal."""

from __future__ import annotations

import os
import sys

from django.db import InterfaceError, OperationalError

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bnmp_portal.settings")
    try:
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)
    except (OperationalError, InterfaceError) as problem:
        sys.exit(f"O banco de dados não respondeu: {' '.join(str(problem).split())}")
    except KeyboardInterrupt:
        sys.exit(128 + 2)  # Ctrl-C is no fault to be traced
