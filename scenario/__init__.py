"""The scenario language: what an author writes and an engine sends. No Temporal, no I/O."""
