"""Graph and history in, commands out; and the runner that carries them out."""
