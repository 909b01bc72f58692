[tool.alembic]
script_location = "${script_location}"
prepend_sys_path = ["."]
# What is migrated: a declarative base, MetaData or Schema, as "package.module:name"; or a list of them.
models = "app.models:Base"
