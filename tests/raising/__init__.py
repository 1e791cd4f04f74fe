"""Makes processes meet every exception of the libraries they stand on, with secrets in its text."""
