"""Cases: what a scenario is to do, run in virtual time and compared with what it does."""
