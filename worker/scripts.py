"""The steps that the broker's server takes as a whole (`lua/`)."""

from collections.abc import Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any, Final

from redis.exceptions import NoScriptError

_FOLDER: Final = Path(__file__).parent / "lua"


class Script:
    """A Lua text and the name the server knows it by."""

    def __init__(self, name: str) -> None:
        self.text = (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def run(self, client: Any, keys: Sequence[str], arguments: Sequence[object]) -> Any:
        """Run the step; a server that does not know the script learns it."""
        try:
            return client.evalsha(self.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return client.eval(self.text, len(keys), *keys, *arguments)


FETCH: Final = Script("fetch")
PUT_BACK: Final = Script("put_back")
RECOVER: Final = Script("recover")
