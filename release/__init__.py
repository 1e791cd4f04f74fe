"""Make a release: what is checked, what is built, and what must not be in it. Not a part of what is released."""
