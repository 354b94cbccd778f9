"""Drills against the served page: many visitors at once, attacks, and faults of the machine."""
