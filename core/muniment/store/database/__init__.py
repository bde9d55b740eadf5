"""Access to the database: engines, tables, types, migrations and leases on SQLite and PostgreSQL."""
