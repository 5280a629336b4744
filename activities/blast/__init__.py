"""The gear *blast* of campaigns: messages that are sent without a workflow for each contact."""
