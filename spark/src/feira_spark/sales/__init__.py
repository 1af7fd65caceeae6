"""Sales: from landed lines to the published fact."""
