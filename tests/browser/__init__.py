"""The dashboard in a real browser: `make test-all` runs these where there is a Chromium."""
