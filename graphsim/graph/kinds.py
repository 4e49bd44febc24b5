"""Every kind of channel bundle, by its name in text and files."""

from __future__ import annotations

from graphsim.graph.channels import Channel, Csr, Dense, OneToOne, Table
from graphsim.graph.window import Window

KINDS: dict[str, type[Channel]] = {kind.kind: kind for kind in (Dense, OneToOne, Table, Csr, Window)}
