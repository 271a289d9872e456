"""Standing facts that the SDK observes when it collects: nothing here runs during a call."""
