"""The operator's pages. They know the API through ``client`` and nothing else."""
