"""PostgreSQL: models, migrations' entry, session scope and repositories."""
