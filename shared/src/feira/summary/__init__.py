"""The day's report: its figures, what they were before, and how mail, Slack and files show them."""
