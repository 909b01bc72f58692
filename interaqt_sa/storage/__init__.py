"""Reading and writing records by name, with the same mapped classes and sessions that applications use."""

from .async_storage import AsyncStorage
from .storage import Storage

__all__ = ["AsyncStorage", "Storage"]
