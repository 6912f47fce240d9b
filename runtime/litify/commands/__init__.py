"""One module per subcommand: options in, one call, exit code out. The one place that sees all three roots."""
