"""The rules that every graph keeps. What frontends and passes make, and what files hold, is verified before use.

The rules, in the order in which they are checked; each has a test that breaks it. None allocates memory per actor or
per edge beyond a fraction of the params, so that a file that claims absurd sizes is refused, not believed.

====================== ==============================================================================================
of the graph           at least one source and one sink; fewer than 2**31 actors (ids are 32-bit in schedules); no
                       param missing; every param float32, finite throughout, or int32 or int64
of a group             unique, legal name; at most 32 axes, positive extents, at least one firing; known op and
                       activation with the right number of arguments, in its domain; known roles, each a float32 vector
                       (a table: a matrix; picks: int32) that repeats evenly over the actors; a table for op lookup
                       and no other, a pick for op take and no other, int64 truth for op lut and no other;
                       ``observes`` with a layer; params and activation only where the op defines them
of a channel bundle    positive rates and token width, no negative number of initial tokens; leads forward unless it
                       has initial tokens, within a group of op lut from every producer to consumers behind it;
                       sizes, indices and weights fit (:meth:`Channel.check`); weight is float32
of a group's ports     one bundle per port, ports 0, 1, 2 ... without a gap, as many as the op takes; subtract, divide,
                       select, lookup and take get exactly one edge per port, dot as many on either; every bundle has
                       edges, every actor at least one, but for sources, linear and sum (a constant: its bias, or
                       +0) and lut, which takes at most six
of rates               every channel gets as many tokens per iteration as it gives up; serial and take fire once and
                       have the rates that their edges and picks ask for; cycles can run
                       (:mod:`graphsim.graph.rates`)
of sources and sinks   a source is one actor, whose one bundle is an unweighted Dense into an input group; an input
                       group has no other bundle; sinks feed nobody; every other group feeds some group, but
                       inputs need not be read
====================== ==============================================================================================

Single actors that nobody consumes are allowed (a pixel that a cropping layer drops); :func:`unconsumed` counts them.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from graphsim.errors import GraphError
from graphsim.graph.channels import Channel, Csr, Dense, Table, check_periodic, check_table
from graphsim.graph.graph import OBSERVED, ROLES, Graph, Group
from graphsim.graph.ops import ACTIVATIONS, OPS, SINKS
from graphsim.graph.rates import channel_name, check_rates

#: Actor ids and local numbers are int32 in indices and schedules.
MAX_ACTORS = 2**31 - 1
#: Inputs of a gate, at most: its truth table is one 64-bit word.
MAX_FAN_IN = 6
#: As many axes as NumPy's index arithmetic takes.
MAX_AXES = 32
#: Ops whose every port takes exactly one edge per actor.
ELEMENTWISE = ("subtract", "divide", "power", "select", "lookup", "take")
#: Params that one op needs, and no other takes.
_OWN = {"table": "lookup", "pick": "take", "truth": "lut"}
#: Ops whose actors may do without any edge.
CONSTANT = ("linear", "sum", "lut")
#: Elements that are checked at a time, so that checking needs little memory.
_CHUNK = 1 << 20


def verify(graph: Graph) -> None:
    """Check every rule of this module's docstring.

    Raises:
        GraphError: a rule is broken; the message names the group, channel or param, and says what is expected.
    """
    _check_graph(graph)
    names: set[str] = set()
    for group in graph.groups:
        _check_name(group.name, names)
        _check_group(graph, group)
    for channel in graph.channels:
        _check_channel(graph, channel)
    for number, group in enumerate(graph.groups):
        _check_ports(graph, number, group)
        _check_ends(graph, number, group)
    check_rates(graph)


def unconsumed(graph: Graph) -> dict[str, int]:
    """How many actors of each group nobody consumes, by group name, in order; groups without such, and sinks, left out.

    Takes one byte per actor of the greatest group.
    """
    found: dict[str, int] = {}
    for number, group in enumerate(graph.groups):
        if group.op in SINKS:
            continue
        mask = np.zeros(group.size, np.bool_)
        for channel in graph.channels_from(number):
            mask |= channel.consumed(group.size, graph.groups[channel.dst].size, graph.params)
        count = group.size - int(np.count_nonzero(mask))
        if count:
            found[group.name] = count
    return found


def _check_graph(graph: Graph) -> None:
    if graph.missing:
        raise GraphError(f"{graph.name}: the params {', '.join(graph.missing)} are missing; a .gsim file has them")
    if not graph.sources:
        raise GraphError(f"{graph.name}: no group has the op source; a graph needs one to take samples in")
    if not graph.sinks:
        raise GraphError(f"{graph.name}: no group has one of the ops {', '.join(SINKS)}; a graph needs one to end in")
    if graph.actor_count > MAX_ACTORS:
        raise GraphError(f"{graph.name}: {graph.actor_count:,} actors; at most {MAX_ACTORS:,} can be numbered")
    for name, array in graph.params.items():
        if array.dtype in (np.int32, np.int64):
            continue
        if array.dtype != np.float32:
            raise GraphError(f"param {name}: is {array.dtype}; params are float32, int32 or int64, native byte order")
        flat = array.reshape(-1)
        for start in range(0, flat.size, _CHUNK):
            bad = np.nonzero(~np.isfinite(flat[start : start + _CHUNK]))[0]
            if bad.size:
                at = np.unravel_index(start + int(bad[0]), array.shape)
                value = array[at]
                raise GraphError(f"param {name}: element {tuple(int(i) for i in at)} is {value}; must be finite")


def _check_name(name: str, names: set[str]) -> None:
    if not name or not name.isprintable() or any(c.isspace() or c in "[]" for c in name):
        raise GraphError(f"group {name!r}: a name is not empty and has no whitespace, brackets or control characters")
    if name in names:
        raise GraphError(f"group {name}: a second group has this name; names are unique")
    names.add(name)


def _check_group(graph: Graph, group: Group) -> None:
    where = f"group {group.name}"
    if len(group.shape) > MAX_AXES:
        raise GraphError(f"{where}: a shape of {len(group.shape)} axes; at most {MAX_AXES}")
    if any(extent < 1 for extent in group.shape):
        raise GraphError(f"{where}: shape {group.shape}; every extent is at least 1")
    if group.op not in OPS:
        raise GraphError(f"{where}: unknown op {group.op!r}; there are: {', '.join(OPS)}")
    if group.activation not in ACTIVATIONS:
        raise GraphError(f"{where}: unknown activation {group.activation!r}; there are: {', '.join(ACTIVATIONS)}")
    _check_activation(graph, where, group)
    if group.firings < 1:
        raise GraphError(f"{where}: {group.firings} firings per iteration; at least 1")
    for role, op in _OWN.items():
        if (group.op == op) != (role in group.params):
            raise GraphError(f"{where}: op {group.op} {'needs a' if group.op == op else 'takes no'} {role}")
    if OPS[group.op].start == "none":
        extras = [
            *(role for role in group.params if role not in _OWN),
            *([group.activation] if group.activation != "linear" else []),
        ]
        if extras:
            raise GraphError(f"{where}: op {group.op} takes no {', '.join(extras)}; put an op linear behind it")
    for role, ref in group.params.items():
        if role not in ROLES:
            raise GraphError(f"{where}: unknown role {role!r}; there are: {', '.join(ROLES)}")
        if role == "pick":
            if ref.name not in graph.params:
                raise GraphError(f"{where}: pick: there is no param {ref.name!r}")
            continue  # its numbers are checked with the rates
        if role == "truth":
            _check_truth(graph, where, group)
            continue
        if role == "element":
            _check_elements(graph, where, group)
            continue
        _check_float(graph, f"{where}: {role}", ref.name)
        try:
            if role == "table":
                check_table(ref, group.size, graph.params)
                continue
            check_periodic(ref, group.size, graph.params)
        except GraphError as error:
            raise GraphError(f"{where}: {role}: {error}") from error
        if role == "magnitude" and float(graph.params[ref.name].min()) < 0:
            raise GraphError(f"{where}: magnitude {ref.name} has negative elements; it is a sum of absolute values")
    if group.extra_roundings < 0:
        raise GraphError(f"{where}: extra_roundings is {group.extra_roundings}; it is not negative")
    if group.observes and not OBSERVED.fullmatch(group.observes):
        raise GraphError(
            f"{where}: observes is {group.observes!r}; there is 'pre', 'output', 'output:1', 'step' and so on"
        )
    if group.observes and not group.layer:
        raise GraphError(f"{where}: observes {group.observes!r} of no layer; name the layer")
    if group.call < 0:
        raise GraphError(f"{where}: call is {group.call}; calls count from 0")


def _check_truth(graph: Graph, where: str, group: Group) -> None:
    ref = group.params["truth"]
    if ref.name not in graph.params:
        raise GraphError(f"{where}: truth: there is no param {ref.name!r}")
    if graph.params[ref.name].dtype != np.int64:
        raise GraphError(f"{where}: truth {ref.name} is {graph.params[ref.name].dtype}; must be int64")
    try:
        check_periodic(ref, group.size, graph.params)
    except GraphError as error:
        raise GraphError(f"{where}: truth: {error}") from error


def _check_elements(graph: Graph, where: str, group: Group) -> None:
    name, inner = group.params["element"]
    if name not in graph.params:
        raise GraphError(f"{where}: element: there is no param {name!r}")
    array = graph.params[name]
    if array.dtype != np.int32 or array.shape != (group.size,) or inner != 1:
        raise GraphError(
            f"{where}: element {name} is {array.dtype} {array.shape}; needs int32 ({group.size},), inner 1"
        )
    if int(array[0]) < 0 or not (np.diff(array.astype(np.int64)) > 0).all():
        raise GraphError(f"{where}: element {name} does not ascend from 0 or more")


def _check_activation(graph: Graph, where: str, group: Group) -> None:
    wanted, given = ACTIVATIONS[group.activation].args, group.activation_args
    if any(math.isnan(value) for value in given):
        raise GraphError(f"{where}: an argument of {group.activation} is NaN")
    values: npt.NDArray[np.generic] = np.array(given)
    if "alpha" in group.params:
        if len(wanted) != 1 or given:
            raise GraphError(f"{where}: alpha is the one argument of an activation; {group.activation} takes {wanted}")
        _check_float(graph, f"{where}: alpha", group.params["alpha"].name)
        values = graph.params[group.params["alpha"].name]
    elif len(given) != len(wanted):
        names = ", ".join(wanted) or "no arguments"
        raise GraphError(f"{where}: activation {group.activation} takes {names}; {len(given)} were given")
    if group.activation == "celu" and not np.all(values):
        raise GraphError(f"{where}: celu divides by alpha; it must not be 0")
    if group.activation == "squareplus" and np.any(np.asarray(values, np.float64) < 0):
        raise GraphError(f"{where}: squareplus takes the root of b; it must not be negative")


def _check_channel(graph: Graph, channel: Channel) -> None:
    where, src, dst = channel_name(graph, channel), graph.groups[channel.src], graph.groups[channel.dst]
    if channel.produce < 1 or channel.consume < 1:
        raise GraphError(f"{where}: rates {channel.produce}:{channel.consume}; both are at least 1 token per firing")
    if channel.token_bits < 1:
        raise GraphError(f"{where}: tokens of {channel.token_bits} bits; a token has at least 1")
    if channel.initial_tokens < 0:
        raise GraphError(f"{where}: {channel.initial_tokens} initial tokens; their number is not negative")
    feeds_itself = channel.src == channel.dst and dst.op == "lut"
    if channel.src >= channel.dst and channel.initial_tokens == 0 and not feeds_itself:
        raise GraphError(
            f"{where}: leads back to an earlier group or its own without initial tokens; list groups in order"
        )
    for name in channel.references():
        if name not in graph.params:
            raise GraphError(f"{where}: there is no param {name!r}")
    if channel.initial_tokens == 0 and (channel.initial is not None or channel.reset):
        raise GraphError(f"{where}: values for initial tokens, or their reset, but no initial tokens")
    try:
        channel.check(src.size, dst.size, graph.params)
        if channel.initial is not None:
            check_periodic(channel.initial, src.size, graph.params)
    except GraphError as error:
        raise GraphError(f"{where}: {error}") from error
    if feeds_itself and channel.initial_tokens == 0:
        _check_ascending(graph, where, channel)
    if channel.initial is not None:
        _check_float(graph, f"{where}: initial tokens", channel.initial.name)
    if channel.weight is not None:
        _check_float(graph, f"{where}: weight", channel.weight.name)
        if OPS[dst.op].start == "none":
            raise GraphError(f"{where}: op {dst.op} takes no weights")


def _check_ascending(graph: Graph, where: str, channel: Channel) -> None:
    """Refuse edges within a group that do not lead from an actor to one behind it."""
    if not isinstance(channel, Csr | Table):
        raise GraphError(f"{where}: a {channel.kind} bundle from a group to itself; gates take a csr or a table")
    size = graph.groups[channel.dst].size
    edges = channel.expand(size, size, graph.params)
    if (wrong := edges.src >= edges.dst).any():
        at = int(np.argmax(wrong))
        raise GraphError(
            f"{where}: leads from actor {edges.src[at]} to actor {edges.dst[at]}; without initial tokens it may lead "
            "only to actors behind"
        )


def _check_ports(graph: Graph, number: int, group: Group) -> None:
    into, (least, most) = graph.channels_into(number), OPS[group.op].ports
    ports = [channel.port for channel in into]
    if ports != list(range(len(ports))):
        raise GraphError(
            f"group {group.name}: ports {ports}; there is one bundle per port, from port 0 on, with no gap"
        )
    if len(ports) < least or (most is not None and len(ports) > most):
        takes = f"{least}" if least == most else f"{least} or more" if most is None else f"{least} to {most}"
        raise GraphError(f"group {group.name}: {len(ports)} ports; op {group.op} takes {takes}")
    starved = bool(into)
    for channel in into:
        fewest, greatest = channel.fan_in_range(graph.groups[channel.src].size, group.size, graph.params)
        if group.op in ELEMENTWISE and (fewest, greatest) != (1, 1):
            edges = f"{fewest}" if fewest == greatest else f"{fewest} to {greatest}"
            raise GraphError(
                f"{channel_name(graph, channel)}: {edges} edges per actor; op {group.op} takes exactly one on each port"
            )
        if greatest < 1:
            raise GraphError(f"{channel_name(graph, channel)}: has no edges; leave it out")
        starved = starved and fewest < 1
    if group.op == "dot" and not _evenly_fed(graph, number):
        raise GraphError(f"group {group.name}: an actor of op dot has another number of edges on port 0 than on port 1")
    if group.op == "lut" and into and int((counts := graph.fan_in(number)).max()) > MAX_FAN_IN:
        at = int(np.argmax(counts))
        raise GraphError(
            f"group {group.name}: actor {at} has {counts[at]} input edges; a gate has at most {MAX_FAN_IN}"
        )
    if starved and group.op not in CONSTANT and not (counts := graph.fan_in(number)).all():
        at = int(np.argmin(counts))
        raise GraphError(f"group {group.name}: actor {at} has no input edges; op {group.op} needs at least one")


def _evenly_fed(graph: Graph, number: int) -> bool:
    """Whether every actor of a group has as many edges on port 0 as on port 1."""
    left, right = (
        c.fan_in(graph.groups[c.src].size, graph.groups[number].size, graph.params) for c in graph.channels_into(number)
    )
    return np.array_equal(left, right)


def _check_ends(graph: Graph, number: int, group: Group) -> None:
    where, into, out = f"group {group.name}", graph.channels_into(number), graph.channels_from(number)
    if group.op in SINKS:
        if out:
            raise GraphError(f"{channel_name(graph, out[0])}: {group.name} is a sink; it feeds nobody")
    elif not out and group.op != "input":
        raise GraphError(f"{where}: feeds no other group; give it a sink (collect) or leave it out")
    if group.op == "source":
        if group.size != 1 or len(out) != 1:
            raise GraphError(f"{where}: a source is one actor with one bundle; this has {group.size} and {len(out)}")
        if graph.groups[out[0].dst].op != "input" or not isinstance(out[0], Dense) or out[0].weight is not None:
            raise GraphError(
                f"{channel_name(graph, out[0])}: a source feeds a group of op input by a dense bundle, no weights"
            )
    if group.op == "input" and graph.groups[into[0].src].op != "source":
        raise GraphError(f"{channel_name(graph, into[0])}: a group of op input takes the sample from a source")


def _check_float(graph: Graph, where: str, name: str) -> None:
    if name not in graph.params:
        raise GraphError(f"{where}: there is no param {name!r}")
    if graph.params[name].dtype != np.float32:
        raise GraphError(f"{where}: param {name} is {graph.params[name].dtype}; must be float32")
