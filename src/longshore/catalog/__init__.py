"""What people see of repositories and artifacts: lists, pulls, labels, what an image says of itself."""
