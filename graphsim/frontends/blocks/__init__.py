"""What layers are made of, whatever file they come from: functions that build groups and channels for tensors.

Blocks take a :class:`~graphsim.frontends.builder.Builder`, tensors, and parameters by name and shape
(:class:`~graphsim.frontends.builder.Stored`), and know no file format.
"""
