"""A module that cannot be imported."""

raise RuntimeError("the licence of Acme has run out")
