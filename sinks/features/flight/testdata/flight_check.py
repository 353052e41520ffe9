"""Reads every flight with pyarrow: python flight_check.py ADDRESS TOKEN HASH."""

import datetime
import json
import sys

import pyarrow as pa
from pyarrow import flight

address, token, expected_hash = sys.argv[1:]
client = flight.connect("grpc://" + address)
options = flight.FlightCallOptions(headers=[(b"authorization", b"Bearer " + token.encode())], timeout=60)
NOON = 1756728000000


def ticket(**parameters):
    return flight.Ticket(json.dumps(parameters).encode())


def refused(call, kind, text):
    try:
        call()
    except kind as e:
        assert text in str(e), (text, e)
    else:
        raise AssertionError("accepted")


listed = {info.descriptor.path[0].decode(): info for info in client.list_flights(options=options)}
assert set(listed) == {"snapshot", "history", "training-set"}, listed
for name, info in listed.items():
    schema = client.get_schema(flight.FlightDescriptor.for_path(name), options).schema
    assert schema.equals(info.schema, check_metadata=True), name
    meta = {k.decode(): v.decode() for k, v in schema.metadata.items()}
    assert meta["droplift.feature_set"] == "player" and meta["droplift.feature_hash"] == expected_hash, meta
    assert schema.field("event_timestamp").type == pa.timestamp("us", "UTC"), schema
    assert schema.field("sessions_28d").type == pa.uint32() and not schema.field("sessions_28d").nullable, schema
    assert schema.field("net_spend_28d").type == pa.int64() and schema.field("latency_max_ms_1h").nullable, schema
    assert ("churned" in schema.names) == ("recency_s" in schema.names) == (name == "training-set"), schema

# The endpoint that was announced.
snapshot = client.do_get(listed["snapshot"].endpoints[0].ticket, options).read_all()
snapshot.validate(full=True)
assert snapshot.num_rows == 10_000 and snapshot.schema.equals(listed["snapshot"].schema, check_metadata=True)
row = snapshot.slice(7, 1).to_pylist()[0]
assert row["player_id"] == "p00007" and row["net_spend_28d"] == -(2**53 + 7) and row["sessions_28d"] == 7, row
assert row["latency_mean_ms_1h"] is None and row["latency_max_ms_1h"] == 7.0 and row["gap_mean_s"] is None, row
utc = datetime.timezone.utc
assert row["event_timestamp"] == datetime.datetime.fromtimestamp((NOON - 7) / 1000, utc), row
assert row["created_timestamp"] == datetime.datetime.fromtimestamp((NOON + 7) / 1000, utc), row

some = client.do_get(ticket(flight="snapshot", players=["p00003", "p00001"]), options).read_all()
assert some["player_id"].to_pylist() == ["p00003", "p00001"]

span = client.do_get(ticket(flight="history", **{"from": NOON - 9, "to": "2025-09-01T12:00:00Z"}), options).read_all()
assert span.num_rows == 9 and span["player_id"][0].as_py() == "p00001", span
nothing = client.do_get(ticket(flight="history", **{"from": 1, "to": 2}), options).read_all()
assert nothing.num_rows == 0 and nothing.schema.equals(listed["history"].schema, check_metadata=True)

t0 = NOON + 3_600_000
command = {"flight": "training-set", "at": [t0], "knowable": "event"}
info = client.get_flight_info(flight.FlightDescriptor.for_command(json.dumps(command)), options)
reader = client.do_get(info.endpoints[0].ticket, options)
batches = [chunk.data for chunk in reader]
assert len(batches) == 3, len(batches)
training = pa.Table.from_batches(batches)
assert training.schema.metadata[b"droplift.knowable"] == b"event"
row = training.slice(4, 1).to_pylist()[0]
assert row["churned"] is True and row["recency_s"] == 3660.0 and row["tenure_s"] == 90_000.0 and row["absence_ratio"] is None, row
assert training["churned"].null_count == 3334, training["churned"].null_count

refused(lambda: client.do_get(ticket(flight="churn"), options).read_all(), KeyError, "unknown flight")
refused(lambda: client.do_get(ticket(flight="history", **{"from": 5, "to": 4}), options).read_all(), pa.ArrowInvalid, "is not before")
refused(lambda: client.do_get(listed["snapshot"].endpoints[0].ticket).read_all(), flight.FlightUnauthenticatedError, "Bearer")
print("pyarrow", pa.__version__, "read", snapshot.num_rows + training.num_rows, "rows")
