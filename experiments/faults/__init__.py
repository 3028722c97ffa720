"""One module a kind of fault. Each fault knows how to apply itself, how its effect and its healing show,
and how it is undone; none decides whether it may be applied (`experiments/guards.py`)."""
