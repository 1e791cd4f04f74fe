"""The dashboard: pages that the server writes, for people in a browser. `rendering.py` says how a page is made."""
