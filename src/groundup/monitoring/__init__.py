"""Drift of incoming messages: a window of new messages is compared with messages of the champion's own data.

Permutation tests decide whether there is drift, corrected for their number, and a policy decides when drift calls for a
retraining. The results contain aggregates only, never text. This room runs no models (see `tasks.message_scores`) and
draws nothing.
"""
