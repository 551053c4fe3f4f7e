"""Drift of incoming messages: a window of new messages is compared with messages of the champion's own data.

Permutation tests decide, corrected for their number, and a policy says when their verdicts call for a retraining. The
results contain aggregates only, never text. Models are not run here (see `tasks.message_scores`), and nothing is drawn.
"""
