"""Measurements of what the project claims: figures with the machine's load beside them, and no assertion."""
