"""Measurements of what the project claims. They print figures with the machine's load beside them, and assert nothing."""
