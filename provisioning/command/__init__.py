"""The command line of `simpul`: reads words, helps, completes and runs Fabric's tasks."""
