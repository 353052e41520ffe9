"""Holds Feast's answers over an export against Droplift's own training set: feast_check.py EXPORT TRAINING_SET.

It runs in a copy of the repository, and prints what it compared; any difference is an error.
"""

import os
import subprocess
import sys
from datetime import timedelta

import pandas as pd
import pyarrow.parquet as pq

sys.path.insert(0, os.getcwd())

export, training_set = sys.argv[1:]
os.environ["DROPLIFT_EXPORT"] = export
subprocess.run([os.path.join(os.path.dirname(sys.executable), "feast"), "apply"], check=True, stdout=subprocess.DEVNULL)

from feast import FeatureStore  # noqa: E402  after the repository is applied

store = FeatureStore(".")
view = store.get_feature_view("player_features")
names = [f.name for f in view.features]
refs = [f"player_features:{name}" for name in names]


def differences(what, left, right):
    """Values that are neither equal nor both missing, of two frames with the same index."""
    wrong = 0
    for name in names:
        a, b = pd.to_numeric(left[name]).astype("float64"), pd.to_numeric(right[name]).astype("float64")
        differ = ~((a == b) | (a.isna() & b.isna()))
        if differ.any():
            wrong += int(differ.sum())
            key = differ[differ].index[0]
            print(f"{what}: {name} of {key} is {a[key]}, want {b[key]}", file=sys.stderr)
    return wrong


# Offline: the same entities and times, joined by Feast from the export.
want = pq.read_table(training_set).to_pandas()
entities = want[["player_id", "event_timestamp"]]
got = store.get_historical_features(entity_df=entities, features=refs).to_df()
index = ["player_id", "event_timestamp"]


def indexed(frame):
    """Times in one resolution: Feast answers in another one than Parquet's."""
    times = frame["event_timestamp"].astype("datetime64[us, UTC]")
    return frame.assign(player_id=frame["player_id"].astype(str), event_timestamp=times).set_index(index).sort_index()


got, want = indexed(got), indexed(want)
if len(want) == 0 or list(got.index) != list(want.index):
    sys.exit(f"{len(got)} rows, want {len(want)}")
wrong = differences("offline", got, want)
print(f"offline: {len(want)} rows of {len(names)} features, {wrong} differ")

# Online: everything that was known by the last of those times, through materialization, and one push on top.
until = entities["event_timestamp"].max().to_pydatetime()
store.materialize(until - timedelta(seconds=view.ttl.total_seconds()), until)
players = sorted(want[want.index.get_level_values("event_timestamp") == until].index.get_level_values("player_id"))
answer = store.get_online_features(features=refs, entity_rows=[{"player_id": p} for p in players]).to_df().set_index("player_id")
last = want.xs(pd.Timestamp(until), level="event_timestamp").loc[players]
wrong += differences("online", answer.loc[players], last)
print(f"online: {len(players)} players, {wrong} values differ so far")

row = last.iloc[[0]][names].reset_index().assign(event_timestamp=pd.Timestamp(until), created_timestamp=pd.Timestamp(until))
row[names[0]] = 4711
store.push("droplift_player_push", row.astype({f.name: "int64" for f in view.features if str(f.dtype) == "Int64"}))
pushed = store.get_online_features(features=refs[:1], entity_rows=[{"player_id": players[0]}, {"player_id": "nobody"}]).to_dict()
if pushed[names[0]] != [4711, None]:
    sys.exit(f"pushed 4711, read {pushed}")
print("pushed and read back")
sys.exit(1 if wrong else 0)
