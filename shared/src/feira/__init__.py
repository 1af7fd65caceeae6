"""What every part of Feira shares: settings, contracts, the landing layout and the warehouse's SQL."""
