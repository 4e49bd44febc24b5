"""Say what a run showed: on the terminal, as JSON, as a page."""
