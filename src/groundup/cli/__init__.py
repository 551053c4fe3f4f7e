"""The command `groundup`: it uses, labels with, exports, imports and registers models that the pipelines trained.

Its commands load checkpoints and call the library. Training and evaluation are not commands but stages of the
pipelines. torch is imported only when a command runs, so that `--help` is quick.
"""
