"""The command ``interaqt-sa``, also ``python -m interaqt_sa``; needs the extra ``cli``.

``commands`` has the group with all commands, a module for each command, and ``target`` what commands have in common:
the application's models and its database.
"""
