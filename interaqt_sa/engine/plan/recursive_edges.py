"""Edges on a cycle of hosts: over one or several of them, rows contribute to rows of their own table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .plan import Plan
from .plan_nodes import Edge, Host


def recursive_edges(plan: Plan) -> Mapping[Host, Sequence[Edge]]:
    """Return for each host on a cycle the edges between the hosts of this cycle.

    A tree in one table is a cycle of one host.
    """
    leads: dict[Host, list[Edge]] = {host: [] for host in plan.hosts.values()}
    for edge in (edge for host in leads for edge in host.edges):
        for member, above in leads.items():
            if edge.member is member.source and edge.inputs & member.written and not edge.is_own_row:
                above.append(edge)
    reached = {host: _reached(host, leads) for host in leads}
    found: dict[Host, Sequence[Edge]] = {}
    for host in leads:
        if host in reached[host]:
            group = [other for other in reached[host] if host in reached[other]]
            edges = dict.fromkeys(edge for other in group for edge in leads[other] if edge.host in group)
            found[host] = tuple(sorted(edges, key=lambda edge: edge.name))
    return found


def _reached(host: Host, leads: Mapping[Host, Sequence[Edge]]) -> dict[Host, None]:
    """Return the hosts above ``host``; they include ``host`` itself only if it is on a cycle."""
    found: dict[Host, None] = {}
    waiting = [host]
    while waiting:
        for edge in leads[waiting.pop()]:
            if edge.host not in found:
                found[edge.host] = None
                waiting.append(edge.host)
    return found
