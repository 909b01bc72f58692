"""Systems, controllers and dispatch, synchronous and asynchronous."""
