"""Circuits that are learnt: gates of two inputs, relaxed until gradients can choose among them, then made hard again.

``gates.py`` and ``wiring.py`` say what is chosen from and what stays fixed; ``layers.py`` is the Keras layer (it
imports TensorFlow, so it is imported late); ``learnt.py`` is a net of chosen gates as arrays; ``life.py``,
``images.py`` and ``automaton.py`` train, and ``cells.py`` is a cell of an automaton; ``parts.py`` and ``voting.py`` put
circuits together; ``pictures.py`` shows what is chosen, and ``history.py`` keeps it while nets are trained.
"""
