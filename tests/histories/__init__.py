"""Saved workflow histories, one folder a release: what running workflows look like to the code that comes after.

Files are never changed or recorded again for a release that is out: a change that can't replay them is patched
(``workflow.patched``) or versioned.
"""
