"""Where workflows may connect to: every address is checked, and the checked one is connected to."""
