"""What can be known about a graph without running it: tokens, bounds on the period, rounding bounds."""
