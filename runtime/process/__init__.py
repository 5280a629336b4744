"""A process and its life: workers, health, the ports it listens on, how it stops."""
