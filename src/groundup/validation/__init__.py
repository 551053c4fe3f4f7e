"""Check raw and split data with Great Expectations; a required expectation that fails stops the pipeline.

This room also searches training text for evaluation items. It describes what is wrong and where, as a report in JSON;
`reports` draws the page.
"""
