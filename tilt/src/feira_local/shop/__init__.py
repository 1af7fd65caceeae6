"""The shop simulator: order lines and exchange rates, drawn or replayed, with faults on demand."""
