"""The map of a scenario: its plan as a drawing, as a table that says the same, and as Mermaid. No I/O."""
