"""``always`` and ``initial`` blocks, as far as they say what flip-flops store: at an edge, under conditions.

A reset that does not wait for the clock is another edge in the block's list, and an ``if`` before everything else; what
it does within a cycle is said in :mod:`~graphsim.frontends.circuits.cells`.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyslang.syntax import SyntaxKind as Kind

from graphsim.frontends.circuits import terms
from graphsim.frontends.circuits.depth import Step, done
from graphsim.frontends.circuits.netlist import Net, Netlist
from graphsim.frontends.circuits.terms import Term
from graphsim.frontends.circuits.verilog.expressions import Expressions
from graphsim.frontends.circuits.verilog.syntax import BehaviourError, Node, parts

_EDGES = {"posedge": True, "negedge": False}
_ASSIGNMENTS = (Kind.NonblockingAssignmentExpression, Kind.AssignmentExpression)
#: What bits get, by net.
Assigned = dict[Net, Term]


class Processes:
    """Reads blocks of a scope."""

    def __init__(self, expressions: Expressions) -> None:
        self.expressions = expressions
        self.n: Netlist = expressions.n

    def always(self, block: Node, first: dict[Net, bool], held: Mapping[Net, bool]) -> int:
        """Flip-flops for everything that a block assigns; returns how many of them have no first value.

        Args:
            block: it.
            first: values of nets in cycle 0; those that are used are taken out.
            held: the same, of nets that are not in ``first``.
        """
        offset = block.keyword.location.offset
        statement = block.statement
        if statement.kind != Kind.TimingControlStatement:
            raise BehaviourError("an always block that does not wait for an edge", offset)
        events = self._events(statement.timingControl, offset)
        statement = _unwrapped(statement.statement)
        blocking: set[Net] = set()
        self.expressions.read = read = set[Net]()
        at_once: list[tuple[Term, Assigned]] = []
        while len(events) > 1:
            force, statement = self._force(statement, events, blocking, offset)
            at_once.append(force)
        ((clock, rising),) = events.items()
        following: Assigned = {}
        done(self._statement(statement, following, blocking, offset))
        if blocking & read:
            raise BehaviourError("a block that reads what it has assigned", offset)
        self.n.clock(clock, rising, offset)
        nets = dict.fromkeys([*following, *(net for _, assigned in at_once for net in assigned)])
        unset = sum(net not in first and net not in held for net in nets)
        for net in nets:
            forces = [(active, assigned[net]) for active, assigned in at_once if net in assigned]
            if len(forces) != len(at_once):
                raise BehaviourError(f"{self.n.name_of(net)!r}, which some resets of its block leave out,", offset)
            self._store(net, following.get(net), forces, first.pop(net, held.get(net, False)), offset)
        return unset

    def _store(
        self, net: Net, following: Term | None, forces: list[tuple[Term, Term]], initial: bool, offset: int
    ) -> None:
        n = self.n
        state = n.new(f"{n.name_of(net)}.stored", offset) if forces else net
        # A block speaks of the net; what it holds is the state, which is the same unless something is forced.
        value, shown = following if following is not None else terms.of(net), terms.of(state)
        for active, forced in reversed(forces):
            value = terms.chosen(n, active, forced, value, offset)
            shown = terms.chosen(n, active, forced, shown, offset)
        n.register(state, terms.net_of(n, value, offset), initial, offset)
        if forces:
            terms.drive(n, net, shown, offset)

    def _events(self, control: Node, offset: int) -> dict[Net, bool]:
        """Nets at whose edges a block runs, and whether at rising ones."""
        if control.kind != Kind.EventControlWithExpression:
            raise BehaviourError("an always block that does not wait for an edge", offset)
        found: dict[Net, bool] = {}
        stack = [control.expr]
        while stack:
            node = stack.pop()
            if node.kind == Kind.ParenthesizedEventExpression:
                stack.append(node.expr)
            elif node.kind == Kind.BinaryEventExpression:
                stack += [node.right, node.left]
            elif node.kind == Kind.SignalEventExpression and node.edge.rawText in _EDGES and node.iffClause is None:
                if node.expr.kind not in (Kind.IdentifierName, Kind.IdentifierSelectName):
                    raise BehaviourError("an edge of an expression", offset)
                nets = self.expressions.target(node.expr)
                if len(nets) != 1:
                    raise self.n.fail(f"an edge of {len(nets)} bits", offset)
                if nets[0] in found:
                    raise self.n.fail(f"{self.n.name_of(nets[0])!r} is in the list of edges twice", offset)
                found[nets[0]] = _EDGES[node.edge.rawText]
            else:
                raise BehaviourError("an always block that does not wait for edges", offset)
        return found

    def _force(
        self, statement: Node, events: dict[Net, bool], blocking: set[Net], offset: int
    ) -> tuple[tuple[Term, Assigned], Node]:
        """What is done while one of the events' nets is active, which is taken out of them, and what is done else."""
        if statement.kind != Kind.ConditionalStatement or statement.elseClause is None:
            raise BehaviourError("a block of several edges that does not begin with a reset", offset)
        active = self._condition(statement, offset)
        net = active.fanins[0] if len(active.fanins) == 1 else None
        if net not in events or net is None:
            raise BehaviourError("a reset that is not one of its block's edges", offset)
        if active.truth not in (0b10, 0b01) or events[net] != (active.truth == 0b10):
            edge = "rising" if events[net] else "falling"
            raise self.n.fail(
                f"{self.n.name_of(net)!r} resets at its {edge} edge and is tested for the other level", offset
            )
        del events[net]
        assigned: Assigned = {}
        done(self._statement(statement.statement, assigned, blocking, offset))
        return (active, assigned), _unwrapped(statement.elseClause.clause)

    def _condition(self, statement: Node, offset: int) -> Term:
        conditions = parts(statement.predicate.conditions)
        if len(conditions) != 1 or conditions[0].matchesClause is not None:
            raise BehaviourError("a condition with patterns", offset)
        return self.expressions.bit(conditions[0].expr, offset)

    def _statement(self, node: Node, assigned: Assigned, blocking: set[Net], offset: int) -> Step[None]:
        """Note what a statement assigns; conditions decide between that and what was assigned before it."""
        kind = node.kind
        if kind == Kind.SequentialBlockStatement:
            for item in node.items:
                yield self._statement(item, assigned, blocking, offset)
        elif kind == Kind.ConditionalStatement:
            select = self._condition(node, offset)
            one: Assigned = {}
            zero: Assigned = {}
            yield self._statement(node.statement, one, blocking, offset)
            if node.elseClause is not None:
                yield self._statement(node.elseClause.clause, zero, blocking, offset)
            self.expressions.scope.grown(len(one) + len(zero))
            for net in dict.fromkeys([*one, *zero]):
                held = assigned.get(net) or terms.of(net)
                assigned[net] = terms.chosen(self.n, select, one.get(net, held), zero.get(net, held), offset)
        elif kind == Kind.ExpressionStatement and node.expr.kind in _ASSIGNMENTS:
            nets = self.expressions.target(node.expr.left)
            value = node.expr.right
            if value.kind == Kind.TimingControlExpression:
                value = value.expr
            assigned.update(zip(nets, self.expressions.bits(value, len(nets), offset), strict=True))
            if node.expr.kind == Kind.AssignmentExpression:
                blocking.update(nets)
        elif kind != Kind.EmptyStatement:
            raise BehaviourError("a statement that is neither a condition nor an assignment", offset)

    def initial(self, block: Node) -> dict[Net, bool]:
        """Values that a block gives to nets at the beginning."""
        found: dict[Net, bool] = {}
        offset = block.keyword.location.offset
        stack = [block.statement]
        while stack:
            node = stack.pop()
            if node.kind == Kind.SequentialBlockStatement:
                stack += reversed(list(node.items))
            elif node.kind == Kind.ExpressionStatement and node.expr.kind in _ASSIGNMENTS:
                nets = self.expressions.target(node.expr.left)
                found.update(zip(nets, self.constants(node.expr.right, len(nets), offset), strict=True))
            elif node.kind != Kind.EmptyStatement:
                raise BehaviourError("an initial block that does more than assign constants", offset)
        return found

    def constants(self, node: Node, width: int, offset: int) -> list[bool]:
        """Bits of an expression that depends on nothing."""
        bits = self.expressions.bits(node, width, offset)
        if any(term.fanins for term in bits):
            raise BehaviourError("a first value that is not a constant", offset)
        return [term.truth == 1 for term in bits]


def _unwrapped(node: Node) -> Node:
    """A statement without a block of one around it."""
    while node.kind == Kind.SequentialBlockStatement and len(node.items) == 1:
        node = node.items[0]
    return node
