"""The official SDK: `call_batches`, which sends batches of 50 one after another."""

from typing import Any

from b24pysdk.credentials import BitrixWebhook

from benchmarks.peers.asking import serve


def work(task: dict[str, Any]) -> None:
    """Pay invoices 1 … n."""
    webhook = BitrixWebhook(domain=task["tls"], webhook_token="1/emulator-secret")  # noqa: S106 - the emulator's own
    pay = "sale.paysystem.pay.invoice"
    methods = {f"j{n}": (pay, {"INVOICE_ID": n, "PAY_SYSTEM_ID": 1}) for n in range(1, task["count"] + 1)}
    webhook.call_batches(methods)


if __name__ == "__main__":
    serve(work)
