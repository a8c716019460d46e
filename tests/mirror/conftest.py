"""The S3 servers of the tests of targets, which mirrors read and write too."""

from ..targets.conftest import aws_environment, moto, prefix, seaweedfs

__all__ = ["aws_environment", "moto", "prefix", "seaweedfs"]
