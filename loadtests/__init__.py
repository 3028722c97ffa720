"""What users do: Locust files, and the kit that they share. Never judges."""
