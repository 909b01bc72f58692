"""Keep derived data true inside the transaction that changes its inputs.

The input is events of attached sessions, the output is updated rows: a flush or a DML statement becomes a *write*,
whose rows are locked and read before it and read again after it; the difference is applied to hosts, level by level,
until nothing changes any more. All other packages use :mod:`.engine`; read that module first, then the rooms from the
bottom up:

``plan`` (the compiled declarations) · ``sql`` (statements) · ``database`` (their execution for one session) ·
``locking`` (the lock order) · ``propagation`` (one write, and the deltas that it leaves pending) · ``computations``
(the maintenance of each kind) · ``capture`` (session events, turned into writes) · ``maintenance`` (check, repair,
back-fill). Imports go one way, from the last of these to the first.
"""
