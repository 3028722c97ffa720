"""A VirtEngine-shaped network on the loopback interface, to run the harness against."""
