"""The ledger in memory: the same contract in plain Python on an injected clock, for tests and as the readable twin of
the Lua steps. It forgets everything with its process."""

from ledger.memory.store import MemoryLedger

__all__ = ["MemoryLedger"]
