"""Grammar: minimal pairs, which of their sentences models find more likely, and tasks for lm-evaluation-harness.

Measures of other knowledge, and of tasks that models are trained for, are in `evaluation`.
"""
