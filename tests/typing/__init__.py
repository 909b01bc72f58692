"""User code as a type checker sees it: checked by mypy and pyright, both strict, in the lint session."""
