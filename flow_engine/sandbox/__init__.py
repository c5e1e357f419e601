"""Runs Python code that nobody vouches for in a process that can do next to nothing.

`inside` is the script of that process; `python` starts it, bounds it and reads what it says.
"""
