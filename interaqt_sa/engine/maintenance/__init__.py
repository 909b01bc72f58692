"""Compare stored values with a full recomputation; repair and back-fill them.

In come values of a plan, out come differences, or rows that are right. :mod:`.check` is for values,
:mod:`.derived_rows` for the rows of Transforms, :mod:`.backfill` for migrations. Read :mod:`.check` first.
"""
