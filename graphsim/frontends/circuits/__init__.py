"""Circuits from files of every format: each reader fills a :class:`~graphsim.frontends.circuits.netlist.Netlist`."""
