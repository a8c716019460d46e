"""A store of objects as a target, whichever store it is.

The way down: `target` keeps the contract of a target; `lease` is its lock; `conditions` finds out what the server does
with conditional writes; `stream` reads on after a broken connection; `store` is the little that all of them need of a
store. Another kind of store is one class that has what `ObjectStore` says, and its options.
"""
