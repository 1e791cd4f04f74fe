"""Imported by every Python process that has this directory on its path."""

import os

if "RAISE_IN" in os.environ:
    from tests.raising.raiser import install

    install()
