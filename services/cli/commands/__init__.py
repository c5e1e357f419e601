"""The commands of `flow`, a module for each group of them.

Whatever takes long to import (gRPC, rich) is imported inside the commands: `flow --help` is there at once.
"""
