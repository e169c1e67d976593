"""Settings of processes (ports, addresses, modes). What decides trades is data in PostgreSQL, never here."""
