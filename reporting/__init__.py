"""The report builders' place."""
