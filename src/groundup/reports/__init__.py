"""Pictures and pages, drawn from files of numbers without a model: one module and one template per page.

The words of a page stand in its template, so that a changed sentence redraws and measures nothing.
"""
