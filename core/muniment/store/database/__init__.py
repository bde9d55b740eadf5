"""Access to the database: engines, tables, column types, migrations and leases."""
