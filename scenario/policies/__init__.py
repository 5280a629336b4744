"""What holds for messages beside their steps: pure rules, asked in one order by whoever sends or previews."""
