"""A local page to look around in: a run, or the points of a sweep."""

from graphsim.view.server import Server, serve
from graphsim.view.subject import Subject, open_folder

__all__ = ["Server", "Subject", "open_folder", "serve"]
