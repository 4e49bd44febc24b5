"""Time made visible: what a schedule does when, as a trace for Perfetto, as waveforms, and as the life of one token."""

from graphsim.trace.life import Life, life_of
from graphsim.trace.perfetto import perfetto
from graphsim.trace.timeline import Timeline, timeline
from graphsim.trace.waves import write_waves

__all__ = ["Life", "Timeline", "life_of", "perfetto", "timeline", "write_waves"]
