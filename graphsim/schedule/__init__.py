"""Fold a graph onto a machine: place, route, calendar; and an independent verifier."""
