"""The tools that the hub offers: schemas and handlers, a module for each family.

Used by the hub's app. Tools know no transport; questions about code and runs are passed on to the spokes.
"""
