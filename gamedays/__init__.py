"""Plans, the conductor, the command line: the only room that knows all the others."""
