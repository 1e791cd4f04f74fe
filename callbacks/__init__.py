"""Telling others of a payment's end: signing, sending, trying again, in the form of Standard Webhooks."""
