"""The ledger against a portal: what both say of the payments that ended in a period, and where they differ."""
