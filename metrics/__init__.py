"""Metrics and health: what is counted and shown (`table`), by whom, and how a standstill is found.

A worker counts what it does (`work`) and says that it lives (`pulse`, `life`); a web process looks at the ledger when
it is asked (`standing`). Importing this package imports nothing.
"""
