"""The tasks of Trask et al., *Neural Arithmetic Logic Units* (2018): what networks with arithmetic modules learn.

::

    tasks.py         the tasks, one row each: models, scores, published numbers, what is claimed, sizes of training
    run.py           runs a task: trains what is missing, keeps models and results, has each model compared
    side_by_side.py  trains one Keras model from several seeds at once
    scalars.py       identity, static
    sequences.py     recurrent, program
    language.py      language
    grid.py          track-time
    digits.py        mnist-addition, mnist-counting, mnist-parity
"""
