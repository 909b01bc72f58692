"""Keep derived data true inside the transaction that changes its inputs.

In come the events of attached sessions, out go updated rows: a flush or a DML statement becomes a *write*, whose rows
are locked and read before it and read again after it; the difference is applied to hosts, level by level, until nothing
changes any more. Everything outside goes through :mod:`.engine`; read that module first, then the rooms from below:

``plan`` (what is declared, compiled) · ``sql`` (statements as text) · ``database`` (running them for one session) ·
``locking`` (in which order) · ``propagation`` (one write, and what it leaves pending) · ``computations`` (how each kind
follows) · ``capture`` (what sessions do, turned into writes) · ``maintenance`` (check, repair, back-fill). Imports go
one way, from the last of these to the first.
"""
