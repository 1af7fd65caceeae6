"""The inbox: takes the local stack's mail and Slack messages, keeps them, and shows them."""
