"""A bucket that speaks S3, as a store of objects whose headers let registry clients read from it directly.

The way down: `target` puts it under the rules of `objects`; `bucket` is the one door of boto3, and `faults` puts the
server's errors into our words. `options` is what a configuration says.
"""
