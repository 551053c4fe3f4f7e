"""Serving: registered models behind MLflow's predict interface, and an HTTP server that follows the champion."""
