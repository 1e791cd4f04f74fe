"""The pages of docs/ that are made from code, and what turns all of docs/ into a site. No process imports it."""
