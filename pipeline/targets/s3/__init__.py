"""A bucket whose objects carry their headers, so that registry clients read from it directly.

The way down: `target` keeps the contract of a target; `lease` is its lock; `conditions` finds out what the server does
with If-Match and If-None-Match; `stream` reads on after a broken connection; `bucket` is the one door of boto3, and
`faults` puts the server's errors into our words. `options` is what a configuration says.
"""
