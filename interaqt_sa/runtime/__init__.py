"""Systems and controllers: dispatch, what surrounds it, and its asynchronous twins."""
