"""Studies: many points, each a model on a machine with settings, computed on a cluster, kept, and weighed.

:mod:`study` reads what is studied, :mod:`points` lists its points, :mod:`compute` makes a row of a point, :mod:`rows`
keeps rows, :mod:`sweep` has what is missing computed by Dask workers, :mod:`pareto` finds the rows that no other beats.
"""
