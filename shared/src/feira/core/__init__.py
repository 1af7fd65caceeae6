"""What every pipeline stands on: settings, lake, contracts, landings, warehouse."""
