"""The dashboard's pages: what they show, as plain values made of the ledger, the registry and the limiter."""
