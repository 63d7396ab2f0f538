"""The local stack: fetching jars, starting, watching and stopping the parts on one machine."""
