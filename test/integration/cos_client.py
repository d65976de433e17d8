#!/usr/bin/env python3
"""Calls the loopback COS with the official Python client, so that no code of ours takes part in it.

Usage: cos_client.py < spec.json   spec: {"port", "bucket", "region", "secretId", "secretKey", "token", "steps"}
Each step is [name, arguments]; names are the functions below. Prints one JSON list: each step's result, or its error.
"""
import base64
import hashlib
import json
import os
import sys
import tempfile

os.environ["NO_PROXY"] = "127.0.0.1"
from qcloud_cos import CosConfig, CosS3Client  # noqa: E402
from qcloud_cos.cos_exception import CosServiceError  # noqa: E402

spec = json.load(sys.stdin)
bucket = spec["bucket"]
client = CosS3Client(
    CosConfig(
        Region=spec["region"],
        SecretId=spec["secretId"],
        SecretKey=spec["secretKey"],
        Token=spec.get("token"),
        Scheme="http",
        IP="127.0.0.1",
        Port=spec["port"],
    ),
    retry=0,
)


def pattern(size):
    """The same bytes for the same size."""
    block = hashlib.sha256(str(size).encode()).digest()
    return (block * (size // len(block) + 1))[:size]


def headers_of(step):
    headers = dict(step.get("headers", {}))
    if step.get("forbidOverwrite"):
        headers["x-cos-forbid-overwrite"] = "true"
    return {"Metadata": headers} if headers else {}


def put(key, size, **step):
    return client.put_object(Bucket=bucket, Key=key, Body=pattern(size), EnableMD5=True, **headers_of(step))


def head(key):
    return dict(client.head_object(Bucket=bucket, Key=key))


def get(key, range=None):
    settings = {} if range is None else {"Range": range}
    body = client.get_object(Bucket=bucket, Key=key, **settings)["Body"].get_raw_stream().read()
    return base64.b64encode(body).decode() if len(body) < 1000 else hashlib.sha256(body).hexdigest()


def delete(key):
    return client.delete_object(Bucket=bucket, Key=key)


def listing(**settings):
    """All pages."""
    keys, folders, pages, marker = [], [], 0, ""
    while True:
        page = client.list_objects(Bucket=bucket, Marker=marker, **settings)
        pages += 1
        keys += [entry["Key"] for entry in page.get("Contents", [])]
        folders += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
        if page["IsTruncated"] == "false":
            return {"keys": keys, "folders": folders, "pages": pages}
        marker = page["NextMarker"]


def multipart(key, sizes, **step):
    """Part by part. `stop`: leave it unfinished; `order`: the part numbers that complete names."""
    upload = client.create_multipart_upload(Bucket=bucket, Key=key, **headers_of(step))["UploadId"]
    parts = []
    for number, size in enumerate(sizes, 1):
        part = client.upload_part(bucket, key, pattern(size), number, upload, EnableMD5=True)
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    listed = client.list_parts(Bucket=bucket, Key=key, UploadId=upload).get("Part", [])
    result = {"uploadId": upload, "listed": [int(part["Size"]) for part in listed]}
    if not step.get("stop"):
        chosen = [parts[number - 1] for number in step.get("order", range(1, len(parts) + 1))]
        headers = headers_of(step)
        result["complete"] = client.complete_multipart_upload(bucket, key, upload, {"Part": chosen}, **headers)
    return result


def uploads(prefix):
    page = client.list_multipart_uploads(Bucket=bucket, Prefix=prefix)
    return [[upload["Key"], upload["UploadId"]] for upload in page.get("Upload", [])]


def abort(key, uploadId):
    return client.abort_multipart_upload(bucket, key, uploadId)


def upload_file(key, size):
    """The client's own parallel multipart upload, and its own download that compares the CRC-64 with its own."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = os.path.join(folder, "source"), os.path.join(folder, "target")
        with open(source, "wb") as file:
            file.write(pattern(size))
        result = client.upload_file(bucket, key, source, PartSize=1, MAXThread=4, EnableMD5=True)
        client.download_file(bucket, key, target, PartSize=1, MAXThread=4, EnableCRC=True)
        with open(target, "rb") as file:
            return {"etag": result["ETag"], "same": file.read() == pattern(size)}


def versioning(status=None):
    if status is not None:
        client.put_bucket_versioning(bucket, status)
    return dict(client.get_bucket_versioning(bucket))


def head_bucket():
    client.head_bucket(bucket)
    return True


def lifecycle():
    return client.get_bucket_lifecycle(bucket)


results = []
for name, arguments in spec["steps"]:
    try:
        results.append(globals()[name](**arguments))
    except CosServiceError as error:
        results.append({"status": error.get_status_code(), "code": error.get_error_code()})
print(json.dumps(results))
