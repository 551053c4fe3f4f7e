"""Serving: the server with OpenAI's protocol, and registered models behind MLflow's interfaces.

`groundup serve` loads models (loading.py) and runs the application (app.py) until a signal (running.py). A request
passes the guard (guard.py), a route checks what it says (requests.py), and the engine of its model (engine.py)
generates its texts together with those of other requests; replies.py makes text of their tokens. following.py changes
to another version of a registered model when its alias moves.

MLflow copies model.py into the folder of every registered model, and runs it there.
"""
