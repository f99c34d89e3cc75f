"""The fault drill: the portal's real processes under load, one of them taken away, and what became of each promise."""
