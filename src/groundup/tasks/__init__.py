"""What a model is trained or finetuned for: classification, instructions, preferences, translation.

Each module joins a model, an objective and data, and answers with the trained model.
"""
