"""``ats demo``: the main job in one go, on spare ports and throw-away data, told as it goes and judged at the end."""
