"""Paxtrail, the airline Customer Management Platform: the one importable package of the repository."""
