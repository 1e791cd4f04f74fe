"""The HTTP API under `/v1`: payments, doubts and portals for programs in any language (docs/http_api.md)."""
