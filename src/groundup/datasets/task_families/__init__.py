"""The families of verifiable tasks, a module per group of skills."""
