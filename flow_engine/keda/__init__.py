"""Generated stubs of KEDA's interface, committed, never edited: `make proto`."""
