"""The command `groundup`: chat, generate, classify, translate, export and import models, promote and roll back.

It loads checkpoints and calls the library. Training and evaluation are stages of the pipelines, not commands here.
Modules import torch when a command runs, so that `--help` is quick.
"""
