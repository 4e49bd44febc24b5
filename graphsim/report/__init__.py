"""Say what a run showed: on the terminal, as JSON, as a page.

::

    result.py       Result: everything one run produced, as the pipeline hands it over
    utilisation.py  how busy each node and link is, from a schedule
    record.py       Result and its parts as plain JSON types (schema version 1)
    terminal.py     the same for people, with Rich
    html.py         the same as one page that opens offline
    circuits.py     circuits and runs of them, at a terminal and as JSON
    circuit_page.py the same as such a page, with waveforms
"""
