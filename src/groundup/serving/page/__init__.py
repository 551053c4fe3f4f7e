"""The page that the server shows at `/`, and the routes `/inspect/...` that only this page needs.

index.html and assets/ are written by hand: HTML, CSS and JavaScript modules, without a build step. They come from this
server alone, and the browser may load nothing else. Every number on the page is one of a function of the
library; the routes only name its parts.
"""
