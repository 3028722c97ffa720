"""What we watch while it happens: health, blocks, the ledger, resources. Measures, never judges."""
