"""Droplift's player features for Feast.

DROPLIFT_EXPORT names the folder that `droplift features export --out` wrote. A row of it holds from the moment when it was
known: joining on created_timestamp keeps what arrived late out of training sets of the time before. A history that was
backfilled at once was known at no earlier time; DROPLIFT_FEAST_TIME=event joins on event_timestamp instead.
"""

import os
from datetime import timedelta

from feast import Entity, FeatureView, FileSource, PushSource, ValueType
from feast.data_format import ParquetFormat

from player_features import FIELDS, TTL_SECONDS, VERSION

by_event = os.environ.get("DROPLIFT_FEAST_TIME", "known") == "event"

player = Entity(name="player", join_keys=["player_id"], value_type=ValueType.STRING, description="A player's pseudonym")

history = FileSource(
    name="droplift_player_history",
    path=os.environ.get("DROPLIFT_EXPORT", "data/export"),
    file_format=ParquetFormat(),
    timestamp_field="event_timestamp" if by_event else "created_timestamp",
    created_timestamp_column="created_timestamp" if by_event else "",
)

pushed = PushSource(name="droplift_player_push", batch_source=history)

player_features = FeatureView(
    name="player_features",
    entities=[player],
    ttl=timedelta(seconds=TTL_SECONDS),
    schema=FIELDS,
    online=True,
    source=pushed,
    tags={"version": str(VERSION)},
)
