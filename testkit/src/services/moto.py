"""Runs moto's S3 with one bucket, prints its endpoint, and ends with standard input: a test that is killed leaves no
server behind. Arguments: key id, secret, region, bucket.
"""

import logging
import sys

import boto3
from moto.server import ThreadedMotoServer

key, secret, region, bucket = sys.argv[1:]
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
endpoint = "http://{}:{}".format(*server.get_host_and_port())
boto3.client(
    "s3",
    endpoint_url=endpoint,
    aws_access_key_id=key,
    aws_secret_access_key=secret,
    region_name=region,
).create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
print(endpoint, flush=True)
sys.stdin.read()
