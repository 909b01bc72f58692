"""Compare stored values with a full recomputation; repair and back-fill them.

The input is values of a plan, the output is differences, or corrected rows. :mod:`.check` handles values,
:mod:`.derived_rows` the rows of Transforms, :mod:`.backfill` migrations. Read :mod:`.check` first.
"""
