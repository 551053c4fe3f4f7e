"""From a model to text: sampling, decoding with a cache, beam search, prompt styles and chat templates."""
