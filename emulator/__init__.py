"""A farm of Bitrix24 portals that misbehave on request; it knows nothing of the client it serves."""

from emulator.farm import Farm, make_farm
from emulator.handle import Handle
from emulator.server import RunningEmulator, running_emulator

__all__ = ["Farm", "Handle", "RunningEmulator", "make_farm", "running_emulator"]
