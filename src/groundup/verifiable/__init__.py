"""Instruction tasks that groundup generates and grades: families that ask, answer, and check a response by program."""
