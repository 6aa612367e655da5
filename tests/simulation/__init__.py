"""Fleets of a hundred nodes and a million clients, simulated in seconds: what plans do to them."""
