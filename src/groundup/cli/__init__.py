"""The command `groundup`: use the trained models, export and import models, and manage the registered ones.

Its commands load checkpoints and call the library. Training and evaluation are not commands but stages of the
pipelines. torch is imported only when a command runs, so that `--help` is quick.
"""
