"""A stand-in for VirtEngine's `provider-daemon`: the same portal API over HTTP, and nothing behind it.

It does not bid, provision, meter or talk to the chain. README.md lists what is kept and what differs.
"""
