"""Processes: the workers that execute workflows and activities, and the local stack that runs everything."""
