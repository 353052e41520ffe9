// Package kafka owns everything Droplift says to Kafka, and is the only user of
// franz-go in production code: connection settings, the topics and their
// configurations, the idempotent producer, the exactly-once loops and the
// readers.
//
//	Config     how to reach the brokers; every other type takes one
//	Admin      creates and verifies topics, answers lag and offsets
//	Producer   idempotent, batching producer of raw events
//	Stage      consume, process, produce and commit in one transaction; its tasks' state
//	           is in a change-log topic and, for fast restores, in snapshots
//	MemoryGuard  slows Stages down near the process's memory limit
//	Feed       consume into an external store that knows batch tokens
//	Catalogue  the compacted drop topic, read whole and followed
//	Follower   the read-committed tail of a topic, without a group
//	Read       a bounded, read-committed read of a topic; Scan of known spans
//	Redelivery dead-lettered records back to their topics, each once
//	Journal    what a Feed has released and planned of a topic-partition
//
// The two loops rest on different things. A Stage's effects are all in Kafka, so
// one transaction holds them: outputs, change-log and offsets, fenced by the
// group generation. A Feed's effects are in another system, so it writes down
// what it is about to write, in the offset commit's metadata, before it writes
// it; whoever comes after repeats exactly that range under the same token.
package kafka
