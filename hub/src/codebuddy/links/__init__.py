"""The hub's side of the links: which spokes are connected, calls to them, fan-out over many."""
