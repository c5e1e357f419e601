"""Figures about executions that ended: counted once, merged by addition, read for any range of time."""
