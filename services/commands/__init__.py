"""What the commands of the command line do, without the command line."""
