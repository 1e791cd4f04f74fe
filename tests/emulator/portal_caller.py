"""A plain HTTP caller of one portal that knows nothing but URLs."""

import json
from dataclasses import dataclass
from typing import Any

import aiohttp

INVOICE = "sale.paysystem.pay.invoice"


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back, read as text first."""

    status: int
    headers: Any
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def error(self) -> tuple[int, Any, str]:
        return self.status, self.json["error"], self.json["error_description"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Calls one portal through one webhook."""

    session: aiohttp.ClientSession
    authority: str
    webhook: str = "1/emulator-secret"

    async def send(self, path: str, http_method: str = "POST", **options: Any) -> Answered:
        url = f"http://{self.authority}{path}"
        async with self.session.request(http_method, url, allow_redirects=False, **options) as response:
            return Answered(response.status, response.headers, await response.text())

    async def call(self, method: str, **params: Any) -> Answered:
        return await self.send(f"/rest/{self.webhook}/{method}", json=params)

    async def pay(self, invoice: object, system: object = 1) -> Answered:
        return await self.call(INVOICE, INVOICE_ID=invoice, PAY_SYSTEM_ID=system)

    async def batch(self, cmd: object, **params: Any) -> Answered:
        return await self.call("batch", cmd=cmd, **params)


def pay_command(invoice: int, system: int = 1) -> str:
    return f"{INVOICE}?INVOICE_ID={invoice}&PAY_SYSTEM_ID={system}"
