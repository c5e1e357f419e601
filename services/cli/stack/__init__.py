"""`flow up`: the services as child processes, watched and restarted."""
