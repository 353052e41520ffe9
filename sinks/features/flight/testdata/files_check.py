"""Reads an export and a training set with pyarrow, and holds them against the same rows over Arrow Flight:
python files_check.py EXPORT_DIR TRAINING_SET ADDRESS T0."""

import datetime
import json
import sys

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import flight

export, training_file, address, t0 = sys.argv[1:]
client = flight.connect("grpc://" + address)


def get(**parameters):
    return client.do_get(flight.Ticket(json.dumps(parameters).encode()), flight.FlightCallOptions(timeout=60)).read_all()


def same(a, b, keys):
    assert a.schema.names == b.schema.names and a.schema.types == b.schema.types, (a.schema, b.schema)
    order = [(k, "ascending") for k in keys]
    a, b = a.sort_by(order).combine_chunks(), b.sort_by(order).combine_chunks()
    assert a.equals(b), [n for n in a.schema.names if not a[n].equals(b[n])]


history = ds.dataset(export, format="parquet", partitioning="hive", exclude_invalid_files=True).to_table()
hours = set(zip(history["date"].to_pylist(), history["hour"].to_pylist()))
for at, date, hour in zip(*(history[c].to_pylist() for c in ("event_timestamp", "date", "hour"))):
    assert at.strftime("%Y-%m-%d") == str(date) and at.hour == int(hour), (at, date, hour)
history = history.drop(["date", "hour"])
assert history.num_rows == 75 and len(hours) > 20, (history.num_rows, len(hours))
same(history, get(flight="history", **{"from": "2025-08-20T00:00:00Z", "to": "2025-09-03T00:00:00Z"}), ["player_id", "revision"])

training = pq.read_table(training_file)
assert training.schema.metadata[b"droplift.knowable"] == b"event"
same(training, get(flight="training-set", at=[t0], knowable="event"), ["player_id"])

# The point-in-time join once more, by somebody else: the newest revision at or before t0 by (as_of, created).
at = datetime.datetime.fromisoformat(t0.replace("Z", "+00:00"))
newest = {}
for row in history.to_pylist():
    if row["event_timestamp"] <= at and at - row["event_timestamp"] <= datetime.timedelta(days=28):
        kept = newest.get(row["player_id"])
        if kept is None or (kept["event_timestamp"], kept["created_timestamp"]) < (row["event_timestamp"], row["created_timestamp"]):
            newest[row["player_id"]] = row
stored = [n for n in history.schema.names if n not in ("event_timestamp", "created_timestamp")]
for row in training.to_pylist():
    want = newest.pop(row["player_id"])
    assert row["as_of"] == want["event_timestamp"], row
    assert all(row[n] == want[n] for n in stored), [(n, row[n], want[n]) for n in stored if row[n] != want[n]]
assert not newest, newest

snapshot = get(flight="snapshot")
assert snapshot.num_rows == len(set(history["player_id"].to_pylist())), snapshot.num_rows
print("pyarrow", pa.__version__, history.num_rows, "revisions in", len(hours), "hours,", training.num_rows, "training rows: files and Flight agree")
