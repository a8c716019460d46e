"""Measurements of the delta engine beside the reference tools. Never part of pass or fail; README.md says how to run.

layers      trees of files as deterministic tars     measure     a child process: time, processor, peak memory
packages    real releases, through pip, npm, apt     contest     one pair: every contender, made and applied
synthetic   made trees that hurt naive encoders      table       what was measured, as a text or Markdown table
corpus      the pairs, kept in a folder              encode      a child that encodes and proves nothing
run         the command                              s3          what publishing to a bucket costs
"""
