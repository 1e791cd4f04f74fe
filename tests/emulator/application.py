"""A plain client of one OAuth application: it sends what it is told and keeps the newest pair."""

from dataclasses import dataclass, field
from typing import Any

import aiohttp

from emulator import Handle
from tests.emulator.portal_caller import Answered, Caller


@dataclass(slots=True)
class Client:
    """Speaks to the token server and to the portal with one credential."""

    session: aiohttp.ClientSession
    credential: dict[str, str]
    used: list[str] = field(default_factory=list)  # refresh tokens in the order of use

    async def ask(self, http_method: str = "POST", **changes: str | None) -> Answered:
        """One request to the token server, nothing kept; a change to None leaves the parameter out."""
        known = {"grant_type": "refresh_token"} | {
            name: self.credential[name] for name in ("client_id", "client_secret", "refresh_token")
        }
        given = {name: value for name, value in (known | changes).items() if value is not None}
        options: dict[str, Any] = {"data": given} if http_method == "POST" else {"params": given}
        async with self.session.request(http_method, self.credential["oauth_url"], **options) as response:
            return Answered(response.status, response.headers, await response.text())

    async def refresh(self) -> Answered:
        """A refresh whose new pair is kept when there is one."""
        self.used.append(self.credential["refresh_token"])
        answered = await self.ask()
        if "access_token" in answered.text:
            self.credential |= {name: answered.json[name] for name in ("access_token", "refresh_token")}
        return answered

    async def call(self, method: str = "profile", access: str | None = None, **params: object) -> Answered:
        """One REST call with the access token in the header."""
        headers = {"Authorization": f"Bearer {access or self.credential['access_token']}"}
        url = self.credential["endpoint"] + method
        async with self.session.post(url, json=params, headers=headers, allow_redirects=False) as response:
            return Answered(response.status, response.headers, await response.text())

    async def outcome(self, method: str = "profile", access: str | None = None) -> str:
        """The error code of a call, or "ok"."""
        return str((await self.call(method, access)).json.get("error", "ok"))


async def install(handle: Handle, portal: Caller, **oauth: object) -> Client:
    """Install the application on a portal."""
    return Client(portal.session, await handle.credential(portal.authority, **oauth))
