"""Text from a model: decoding with a key/value cache, sampling, beam search, prompt styles and chat templates.

What a finetuned model does with the text, such as answering instructions, is in `tasks`.
"""
