"""Registered models behind MLflow's predict interface, and a server that follows the alias of the champion."""
