"""Records by name, over the same mapped classes and sessions that applications use."""

from .async_storage import AsyncStorage
from .storage import Storage

__all__ = ["AsyncStorage", "Storage"]
