"""Reads an Arrow answer as an independent client does and prints what it says as JSON."""
import json
import sys
import urllib.request

import pyarrow as pa

url, at, *players = sys.argv[1:]
accept = {"Accept": "application/vnd.apache.arrow.stream"}
body = json.dumps({"players": players, "at": int(at)}).encode()
with urllib.request.urlopen(urllib.request.Request(url + "/v1/features", body, accept)) as answer:
    assert answer.headers["Content-Type"] == accept["Accept"], answer.headers
    table = pa.ipc.open_stream(answer).read_all()
table.validate(full=True)
with urllib.request.urlopen(url + "/v1/features") as answer:
    contract = json.load(answer)

types = {"count": pa.uint32(), "amount": pa.int64(), "real": pa.float64()}
names = [f["name"] for f in contract["features"]]
assert table.schema.names[-len(names):] == names, table.schema.names
for f in contract["features"]:
    field = table.schema.field(f["name"])
    assert field.type == types[f["type"]], field
    assert field.metadata[b"unit"].decode() == f["unit"], field.metadata
meta = {k.decode(): v.decode() for k, v in table.schema.metadata.items()}
assert meta["droplift.feature_hash"] == contract["hash"], meta
assert meta["droplift.at"] == at, meta

rows = table.to_pylist()
for row in rows:
    for name in ("watermark", "as_of"):
        if row[name] is not None:
            row[name] = round(row[name].timestamp() * 1000)
json.dump(rows, sys.stdout)
