"""The web shop's users, simulated: what they view, choose and buy, and what is recommended to them."""
