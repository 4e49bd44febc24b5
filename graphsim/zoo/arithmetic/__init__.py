"""Neural arithmetic: modules whose weights, once learnt, are -1, 0 or 1, so that the network is the formula.

::

    modules.py   the equations, one row per module, for any number of models side by side
    layers.py    Keras layers of them
    task.py      trains modules on one operation, ranges and seeds side by side
    study.py     studies of modules and operations, kept in a folder
    perfect.py   what perfect weights are off by, dividing by small numbers
"""
