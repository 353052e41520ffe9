"""Checks a ClickHouse HTTP server with the clickhouse-connect client.

Usage: clickhouse_connect_check.py HOST PORT
"""

import datetime
import decimal
import sys

import clickhouse_connect
import pandas
from clickhouse_connect.driver.exceptions import DatabaseError

host, port = sys.argv[1], int(sys.argv[2])
client = clickhouse_connect.get_client(host=host, port=port)

result = client.query("SELECT number, toString(number) FROM numbers(100000)")
assert result.row_count == 100000 and result.result_rows[-1] == (99999, "99999"), result.result_rows[-1]
assert client.command("SELECT 1 + 1") == 2
assert client.query("SELECT {n:UInt8} + 1", parameters={"n": 41}).first_row == (42,)
assert client.query("SELECT getSetting('max_threads')", settings={"max_threads": 1}).first_row == (1,)

client.command("DROP TABLE IF EXISTS checks")
client.command(
    """CREATE TABLE checks (id UInt64, name LowCardinality(String), tags Array(String), amount Decimal(18, 2),
    at DateTime64(3, 'UTC'), note Nullable(String), attributes Map(String, UInt32)) ENGINE = MergeTree ORDER BY id"""
)
at = datetime.datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=datetime.timezone.utc)
rows = [
    [1, "one", ["a", "b"], decimal.Decimal("1.25"), at, None, {"x": 1}],
    [2, "zwei ü", [], decimal.Decimal("-2.50"), at, "note", {}],
]
client.insert("checks", rows, column_names=["id", "name", "tags", "amount", "at", "note", "attributes"])
got = client.query("SELECT * FROM checks ORDER BY id").result_rows
assert [row[:4] for row in got] == [tuple(row[:4]) for row in rows], got
assert [row[5:] for row in got] == [tuple(row[5:]) for row in rows], got
assert client.query("SELECT toUnixTimestamp64Milli(at) FROM checks LIMIT 1").first_row == (int(at.timestamp() * 1000),)

frame = pandas.DataFrame({"id": range(10, 20010), "name": [f"n{i % 7}" for i in range(20000)]})
client.insert_df("checks", frame)
back = client.query_df("SELECT id, name FROM checks WHERE id >= 10 ORDER BY id")
assert back.shape == (20000, 2) and back["name"].tolist() == frame["name"].tolist(), back
assert client.query_df("SELECT name, count() AS n FROM checks WHERE id >= 10 GROUP BY name ORDER BY name")["n"].sum() == 20000

arrow = client.query_arrow("SELECT id FROM checks ORDER BY id LIMIT 3")
assert arrow.column(0).to_pylist() == [1, 2, 10], arrow

with client.query_row_block_stream("SELECT number FROM numbers(500000)") as stream:
    assert sum(len(block) for block in stream) == 500000

client.command("CREATE TEMPORARY TABLE mine (a UInt8)")
client.command("INSERT INTO mine VALUES (3)")
assert client.query("SELECT a FROM mine").first_row == (3,)

for sql, code in (("SELECT * FROM nosuch", 60), ("SELEC 1", 62), ("SELECT throwIf(number = 900000) FROM numbers(1000000)", 395)):
    try:
        client.query(sql)
    except DatabaseError as error:
        assert str(code) in str(error), error
    else:
        raise AssertionError(f"{sql} did not fail")

for compression in (False, "lz4", "zstd", "gzip"):
    other = clickhouse_connect.get_client(host=host, port=port, compress=compression)
    assert other.query("SELECT sum(number) FROM numbers(1000)").first_row == (499500,)
    assert len(other.query("SELECT number FROM numbers(50000)").result_rows) == 50000
    other.insert("checks", [[5, "five"]], column_names=["id", "name"])
    other.close()

print("ok", client.server_version)
